/** The settings from the environment: `PORT`, `JOBS_PATH`, `DATABASE_URL`, `RUNNER_CONCURRENCY_MAX` and so on. */
import * as EventLog from "@spillway/jobs/EventLog"
import * as Job from "@spillway/jobs/Job"
import * as JobRunner from "@spillway/jobs/JobRunner"
import * as JobViewer from "@spillway/jobs/JobViewer"
import * as PostgresStore from "@spillway/jobs/PostgresStore"
import * as SqliteStore from "@spillway/jobs/SqliteStore"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import { fileURLToPath } from "node:url"
import * as Analysis from "./Analysis.js"
import type { Settings } from "./App.js"

/** 0 is any port that is free. */
const port = Config.validate(Config.integer("port"), {
  message: "a port is between 0 and 65535",
  validation: (port) => port >= 0 && port <= 65_535
})

/** In PostgreSQL where the database is told, else in a file. */
const store = Config.orElseIf(Config.nested(PostgresStore.config, "database"), {
  if: (error) => error._op === "MissingData",
  orElse: () => Config.nested(SqliteStore.config, "jobs")
})

export const config: Config.Config<Settings> = Config.all({
  port,
  readable: Config.nonEmptyString("readable"),
  store,
  analyse: Config.nested(Job.config(Analysis.Analyse), "analyse"),
  runner: Config.nested(JobRunner.config, "runner"),
  log: Config.nested(EventLog.config, "log"),
  viewer: Config.nested(JobViewer.config, "viewer")
})

const environment = (entries: Iterable<readonly [string, string]>) =>
  ConfigProvider.constantCase(ConfigProvider.fromMap(new Map(entries), { pathDelim: "_" }))

/** What the environment says, and where it says nothing what is said here. */
export const provider = (entries: Iterable<readonly [string, string]>): ConfigProvider.ConfigProvider =>
  environment([
    ["PORT", "8080"],
    ["JOBS_PATH", fileURLToPath(new URL("../jobs.db", import.meta.url))],
    ["READABLE", process.cwd()],
    ...entries
  ])
