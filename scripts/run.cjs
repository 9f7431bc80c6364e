// Starts one of the scripts of this folder, `node scripts/run.cjs start`, after a look at the version of Node.
// Written so that every Node can parse it, however old: no arrow functions, no const, and the import inside a string.
"use strict"
var required = 20
var found = process.versions.node
if (parseInt(found, 10) < required) {
  console.error("Spillway needs Node " + required + " or newer, and this is Node " + found + ". See https://nodejs.org")
  process.exit(1)
}
// The scripts that can be named; anything else is a mistake in package.json.
var scripts = ["start", "test", "check", "format", "codegen", "lock", "clean", "bench", "simulate", "mutate"]
var script = process.argv[2]
if (scripts.indexOf(script) === -1) {
  console.error("usage: node scripts/run.cjs <" + scripts.join(" | ") + "> [arguments]")
  process.exit(1)
}
process.argv.splice(2, 1)
eval("import('./' + script + '.mjs')").then(undefined, function(error) {
  console.error(error)
  process.exit(1)
})
