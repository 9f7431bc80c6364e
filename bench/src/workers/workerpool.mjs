/** A worker of workerpool that echoes. */
import workerpool from "workerpool"

workerpool.worker({ echo: (args) => args })
