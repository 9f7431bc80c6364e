/** A worker of piscina that echoes. */
export default (args) => args
