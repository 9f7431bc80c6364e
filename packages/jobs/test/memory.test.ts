import { layerMemory } from "../src/JobStore.js"
import { contract } from "./contract.js"

contract("memory store (A080)", layerMemory)
