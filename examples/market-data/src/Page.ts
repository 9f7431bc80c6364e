/** The page at `/`: three files from the folder `page`, found from `src` and from `dist` alike. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"

const headers = {
  "cache-control": "no-cache",
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; " +
    "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

const asset = (file: string, contentType: string) =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const text = yield* files.readFileString(fileURLToPath(new URL(`../page/${file}`, import.meta.url)))
    return HttpServerResponse.text(text, { contentType, headers })
  })

export const routes = Effect.gen(function*() {
  const html = yield* asset("index.html", "text/html; charset=utf-8")
  const script = yield* asset("page.js", "text/javascript; charset=utf-8")
  const style = yield* asset("page.css", "text/css; charset=utf-8")
  return HttpRouter.empty.pipe(
    HttpRouter.get("/", html),
    HttpRouter.get("/page.js", script),
    HttpRouter.get("/page.css", style)
  )
})
