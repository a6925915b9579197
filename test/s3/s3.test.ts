/**
 * What is particular to tasks in a bucket, and all else that is tried on a real server. In one file, and not the smallest:
 * vitest begins with the largest ones where it has not run before, and this one takes longest.
 */
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { afterAll, describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Exit, Fiber, Layer, Option } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import * as S3 from "effect-checkmate/s3"
import { Crashes } from "effect-checkmate/testing"
import { fight } from "../processes/fight.ts"
import { abc, failing, Ledger } from "../support/pipelines.ts"
import { freshPrefix, optionsFor, type Server, start } from "../support/s3.ts"
import { keysUnder, readKey, writeKey } from "../support/s3keys.ts"
import { type Seen, shaky } from "../support/shakyHttp.ts"
import { summaryOf } from "../support/summary.ts"
import { contracts, platform } from "./contracts.ts"
import { faults } from "./faults.ts"
import { unfit } from "./unfit.ts"

const summary = summaryOf("t")

const behaviour = (server: Server): void => {
  const options = () => optionsFor(server, freshPrefix())
  const engine = (reached: Parameters<typeof S3.layer>[0]) => Layer.provide(S3.layer(reached), platform)
  const run = (ledger = new Ledger()) => CheckMateEngine.run(abc(ledger), { taskId: "t", input: { seed: 1 } })

  describe("tasks in a bucket", () => {
    it.live(
      "are fought over by four processes, killed and frozen at random: each to its end, and nothing twice",
      () =>
        Effect.gen(function*() {
          const directory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
          const { prefix } = options()
          const report = yield* fight(directory, {
            processes: 4,
            tasks: 12,
            seed: "fight in a bucket",
            every: 40,
            store: `s3:${JSON.stringify({ server, prefix })}`
          })
          expect(report.violations).toEqual([])
          expect(report.kills + report.freezes).toBeGreaterThan(1)
          expect(report.takeovers).toBeGreaterThan(0)
          expect(yield* Effect.promise(() => keysUnder(server, `${prefix}lock/`))).toEqual([])
          expect(yield* Effect.promise(() => keysUnder(server, `${prefix}task/`))).toEqual([])
        }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)),
      300_000
    )

    it.live("under two prefixes never see each other, and clean takes away those of its own", () =>
      Effect.gen(function*() {
        const [one, two] = [options(), options()]
        yield* Effect.provide(run(), engine(one))
        const other = engine(two)
        expect(yield* Effect.provide(CheckMateEngine.find(), other)).toEqual([])
        expect(yield* Effect.provide(Effect.flip(CheckMateEngine.get("t")), other)).toMatchObject({
          _tag: "TaskNotFoundError"
        })
        yield* Effect.provide(run(), other)
        expect(yield* Effect.provide(CheckMateEngine.clean(), other)).toHaveLength(1)
        expect(yield* Effect.provide(CheckMateEngine.find(), engine(one))).toHaveLength(1)
        // The mark that it was removed is all that is left.
        expect(yield* Effect.promise(() => keysUnder(server, two.prefix))).toEqual([
          expect.stringContaining(`${two.prefix}journal/t/`)
        ])
        const ledger = new Ledger()
        yield* Effect.provide(run(ledger), other)
        expect(ledger.entries).toEqual(["run a", "run b", "run c"])
      }))

    it.live("are removed with a handful of requests, whatever is in their prefix", () =>
      Effect.gen(function*() {
        const seen: Array<Seen> = []
        const { prefix, ...reached } = options()
        const odd = `${prefix}a b+c&d<e>'"%25&amp;/ü/\u{1f642}/`
        const io = yield* Effect.provide(S3.makeTaskIO({ ...reached, prefix: odd }), shaky(() => undefined, seen))
        const journal = yield* Effect.scoped(io.open("t"))
        for (let index = 0; index < 30; index++) {
          yield* journal.append(index, [`${index}`], summary)
          yield* io.send("t", "mail")
        }
        seen.length = 0
        yield* io.remove("t")
        expect(seen.length).toBeLessThan(20)
        const left = yield* Effect.promise(() => keysUnder(server, prefix))
        expect(left).toEqual([expect.stringMatching(/\/journal\/t\/\d+$/)])
        expect(yield* io.waiting).toEqual([])
      }))

    it.live("are claimed at the epoch that another store has brought them to, and at later ones from there", () =>
      Effect.gen(function*() {
        const driver = yield* Effect.provide(S3.makeTaskIO(options()), platform)
        const epochOf = (atLeast?: number) => Effect.scoped(Effect.map(driver.open("t", atLeast), ({ epoch }) => epoch))
        expect([yield* epochOf(), yield* epochOf(5_000), yield* epochOf(), yield* epochOf(7)]).toEqual([
          1,
          5_000,
          5_001,
          5_002
        ])
      }))

    it.live("go on from the epoch they had come to where their id is used anew, however far that was from their slot", () =>
      Effect.gen(function*() {
        const driver = yield* Effect.provide(S3.makeTaskIO(options()), platform)
        yield* Effect.scoped(driver.open("t", 5_000))
        for (const epoch of [5_001, 5_002]) {
          yield* driver.remove("t")
          expect((yield* Effect.scoped(driver.open("t"))).epoch).toBe(epoch)
        }
      }))

    it.live("outlive any death: every write of a run cut, before and after", () =>
      Effect.gen(function*() {
        const report = yield* Crashes.verify((ledger: Ledger) => abc(ledger, { fail: failing({ b: 1 }) }), {
          input: { seed: 1 },
          before: Effect.sync(() => new Ledger()),
          store: Effect.suspend(() => Effect.provide(S3.makeTaskIO(options()), platform)),
          program: (definition) =>
            Effect.retry(CheckMateEngine.run(definition, { taskId: "task", input: { seed: 1 } }), { times: 3 }),
          invariant: ({ world }) =>
            Effect.sync(() => {
              for (const stage of ["a", "b", "c"]) {
                const mine = world.entries.filter((entry) => entry.endsWith(stage)).join()
                expect(mine).not.toMatch(/run .,run/)
              }
            }),
          pairs: false
        })
        expect(report.cuts).toBeGreaterThan(8)
      }))

    it.live("say which object is damaged, and can be removed all the same", () =>
      Effect.gen(function*() {
        const reached = options()
        yield* Effect.provide(run(), engine(reached))
        const keys = yield* Effect.promise(() => keysUnder(server, `${reached.prefix}journal/t/`))
        const newest = keys[0] ?? ""
        const whole = yield* Effect.promise(() => readKey(server, newest))
        for (const harm of [whole.slice(0, -1), whole.replace("Succeeded", "Succeedad"), "", "[]"]) {
          yield* Effect.promise(() => writeKey(server, newest, harm))
          const error = yield* Effect.provide(Effect.flip(CheckMateEngine.get("t")), engine(reached))
          expect(error).toMatchObject({ _tag: "JournalDamagedError", location: expect.stringContaining(newest) })
        }
        const io = yield* Effect.provide(S3.makeTaskIO(reached), platform)
        yield* io.remove("t")
        expect(yield* Effect.provide(CheckMateEngine.find(), engine(reached))).toEqual([])
        expect(yield* io.read("t", 0)).toEqual([])
      }), 300_000)

    it.live(
      "a holder that is cut off knows within the lease that it may have lost, and is taken over after it",
      () =>
        Effect.gen(function*() {
          const reached = { ...options(), lease: "2 seconds", retryFor: "300 millis" } as const
          let cut = false
          const network = Layer.merge(NodeContext.layer, shaky(() => cut ? "unreachable" : undefined))
          const one = yield* Effect.provide(S3.makeBindLock(reached), network)
          const other = yield* Effect.provide(S3.makeBindLock(reached), platform)
          const { lost } = yield* one.acquire("t")
          const told = yield* Effect.fork(lost)
          // Longer than the lease: it lives, and keeps what it holds.
          yield* Effect.sleep("3 seconds")
          expect(yield* Effect.flip(other.acquire("t"))).toMatchObject({ _tag: "TaskBoundError" })
          expect(Option.isNone(yield* Fiber.poll(told))).toBe(true)
          cut = true
          const taken = yield* Effect.retry(other.acquire("t"), { while: ({ _tag }) => _tag === "TaskBoundError" })
          expect(yield* Fiber.join(told)).toContain("its lock cannot be reached")
          cut = false
          // Back again, it does not take away what is another's now.
          yield* Effect.sleep("1 second")
          expect(Option.getOrThrow(yield* other.holder("t")).name).toBe(taken.holder.name)
        }).pipe(Effect.scoped),
      300_000
    )

    it.live("a holder whose process is provably gone is taken over at once", () =>
      Effect.gen(function*() {
        const reached = options()
        const make = Effect.provide(S3.makeBindLock(reached), platform)
        const one = yield* make
        yield* one.acquire("t")
        const key = `${reached.prefix}lock/t`
        const lock = yield* Effect.promise(() => readKey(server, key))
        const content = lock.slice(lock.indexOf("\n") + 1)
        const gone = content.replace(/"pid":"\d+"/, `"pid":"999999999"`)
        const { seal } = yield* Effect.promise(() => import("../../src/s3/envelope.ts"))
        const { bytes } = yield* seal(gone)
        yield* Effect.promise(() => writeKey(server, key, new TextDecoder().decode(bytes)))
        const other = yield* make
        expect(Exit.isSuccess(yield* Effect.exit(other.acquire("t")))).toBe(true)
      }).pipe(Effect.scoped))

    it.live("a bucket that is not there is an error that says what to do", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(
          Effect.provide(S3.makeTaskIO({ ...options(), bucket: "no-such-bucket-here" }), platform)
        )
        expect(error).toMatchObject({ _tag: "TaskIOError" })
        expect(error.message).toContain("Create the bucket, or check its name")
      }))

    if (server.unquotedETags) {
      it.live("a store that wants ETags without their quotes is found out, and the error says what to set", () =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(
            Effect.provide(S3.makeTaskIO({ ...options(), unquotedETags: false }), platform)
          )
          expect(error).toMatchObject({ _tag: "UnfitStoreError", advice: "Set unquotedETags to true" })
        }))
    }

    it.live("are reached by the usual environment variables", () =>
      Effect.gen(function*() {
        const variables = new Map([
          ["CHECKMATE_S3_BUCKET", server.bucket],
          ["CHECKMATE_S3_PREFIX", freshPrefix()],
          ["CHECKMATE_S3_UNQUOTED_ETAGS", String(server.unquotedETags)],
          ["AWS_ENDPOINT_URL_S3", server.endpoint],
          ["AWS_REGION", server.region],
          ["AWS_ACCESS_KEY_ID", server.accessKeyId],
          ["AWS_SECRET_ACCESS_KEY", server.secretAccessKey]
        ])
        const layer = Layer.provide(S3.layerConfig(), platform)
        const found = yield* Effect.zipRight(run(), CheckMateEngine.find()).pipe(
          Effect.provide(layer),
          Effect.withConfigProvider(ConfigProvider.fromMap(variables))
        )
        expect(found).toMatchObject([{ taskId: "t", status: "Succeeded" }])
      }))
  })
}

unfit()

const running = await start()

if (typeof running === "string") {
  console.warn(running)
} else {
  afterAll(running.stop)
  contracts(running.server)
  behaviour(running.server)
  faults(running.server)
}
