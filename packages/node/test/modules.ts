export * as Guard from "../src/Guard.js"
export * as NodeDialer from "../src/NodeDialer.js"
export * as NodeTransport from "../src/NodeTransport.js"
export * as Upgrade from "../src/Upgrade.js"
