/**
 * Program of the counter-test about resets: one slow route, with or without the guard. Run as a process of its own.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Guard from "../src/Guard.js"

const server = process.argv[2] === "true" ? Guard.guard(Http.createServer()) : Http.createServer()
const say = (text: string) => Effect.sync(() => void process.stdout.write(`${text}\n`))

const slow = say("slow").pipe(
  Effect.zipRight(Effect.sleep("10 seconds")),
  Effect.ensuring(say("ended")),
  Effect.as(HttpServerResponse.empty())
)
const router = HttpRouter.empty.pipe(
  HttpRouter.get("/slow", slow),
  HttpRouter.get("/health", HttpServerResponse.text("ok"))
)
const app = HttpServer.serve(router).pipe(
  Layer.provide(NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1" }))
)

NodeRuntime.runMain(
  Layer.launch(
    Layer.merge(
      app,
      Layer.effectDiscard(Effect.suspend(() => say(`port=${(server.address() as AddressInfo).port}`))).pipe(
        Layer.provide(app)
      )
    )
  ),
  { disablePrettyLogger: true }
)
