/** `npm run clean`: removes everything a build or a test run made. Dependencies stay. */
import { clean } from "./lib/prepare.mjs"

clean()
