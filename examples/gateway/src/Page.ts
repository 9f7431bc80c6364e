/**
 * The page at `/`: three files from the folder `page`, read once. They are not compiled, so the folder is found from
 * `src` and from `dist` alike.
 */
import type * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { fileURLToPath } from "node:url"

export class Page extends Context.Tag("@spillway-examples/gateway/Page")<Page, {
  readonly html: HttpServerResponse.HttpServerResponse
  readonly script: HttpServerResponse.HttpServerResponse
  readonly style: HttpServerResponse.HttpServerResponse
}>() {}

const headers = {
  "cache-control": "no-cache",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  // `ws:` and `wss:` because older browsers do not count them as 'self'.
  "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; " +
    "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

const asset = (file: string, contentType: string) =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const text = yield* files.readFileString(fileURLToPath(new URL(`../page/${file}`, import.meta.url)))
    return HttpServerResponse.text(text, { contentType, headers })
  })

export const layer: Layer.Layer<Page, PlatformError.PlatformError, FileSystem.FileSystem> = Layer.effect(
  Page,
  Effect.all({
    html: asset("index.html", "text/html; charset=utf-8"),
    script: asset("page.js", "text/javascript; charset=utf-8"),
    style: asset("page.css", "text/css; charset=utf-8")
  })
)
