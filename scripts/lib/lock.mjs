/**
 * Makes a lock file complete. npm leaves an optional package out of it when it could not look the package up, and then
 * refuses that very lock file in `npm ci`, on every machine. All such packages here are binaries for other systems, with
 * a version fixed by the package that asks for them and the system in their name, so their entries can be written down.
 */

const systems = new Set([
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32"
])
const processors = new Set([
  "x64",
  "arm64",
  "arm",
  "ia32",
  "loong64",
  "mips64el",
  "ppc64",
  "riscv64",
  "s390x",
  "wasm32"
])

/** The system, processor and C library that the name of a binary package speaks of. */
export const platformOf = (name) => {
  const words = name.split("/").at(-1).split("-")
  const os = words.filter((word) => systems.has(word))
  const cpu = words.filter((word) => processors.has(word))
  const libc = [
    ...(words.some((word) => /^(gnu|glibc)/.test(word)) && os.includes("linux") ? ["glibc"] : []),
    ...(words.some((word) => word.startsWith("musl")) ? ["musl"] : [])
  ]
  return {
    ...(cpu.length > 0 ? { cpu } : {}),
    ...(libc.length > 0 ? { libc } : {}),
    ...(os.length > 0 ? { os } : {})
  }
}

/** Where Node looks for a package that `path` asks for, nearest first. */
const candidates = (path, name) => {
  const parts = path.split("/node_modules/")
  const nested = parts.map((_, index) =>
    `${parts.slice(0, parts.length - index).join("/node_modules/")}/node_modules/${name}`
  )
  return [...nested, `node_modules/${name}`]
}

/** The optional packages that some entry asks for and that have no entry: `{ path, name, version, parent }`. */
export const missing = (lock) =>
  Object.entries(lock.packages).flatMap(([path, entry]) =>
    Object.entries(entry.optionalDependencies ?? {})
      .filter(([name]) => !candidates(path, name).some((candidate) => candidate in lock.packages))
      .map(([name, version]) => ({ path: `node_modules/${name}`, name, version, parent: entry }))
  )

/** The same lock file with an entry for each missing package. */
export const complete = (lock) => {
  const packages = { ...lock.packages }
  for (const { name, parent, path, version } of missing(lock)) {
    if (!/^\d+\.\d+\.\d+/.test(version)) throw new Error(`${name}@${version}: the lock file needs one version`)
    packages[path] = { version, ...platformOf(name), ...(parent.dev ? { dev: true } : {}), optional: true }
  }
  const sorted = Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, "en"))
  return { ...lock, packages: Object.fromEntries(sorted) }
}
