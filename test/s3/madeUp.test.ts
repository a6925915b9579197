/** What stores do that no server does when it is asked to. These need no server. */
import { FileSystem, HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Option, Redacted, Schedule, TestClock } from "effect"
import * as S3 from "effect-checkmate/s3"
import { seal, unseal } from "../../src/s3/envelope.ts"
import { summaryOf } from "../support/summary.ts"
import { append, type Asked, credentials, listed, make, options, refusal } from "./madeUpStore.ts"

const summary = summaryOf("t")

/** Lets a second pass, and what is asked of the store in it be answered. */
const inASecond = Effect.zipRight(TestClock.adjust("1 second"), Effect.promise(() => new Promise(setImmediate)))

describe("S3: a store that does not remove under a condition", () => {
  it.live("is asked to remove a lock without one", () =>
    Effect.gen(function*() {
      const store = make(({ headers, method }) =>
        Effect.succeed(
          method === "DELETE" && headers["if-match"] !== undefined ? refusal(501, "NotImplemented") : undefined
        )
      )
      const lock = yield* Effect.provide(S3.makeBindLock(options), store.layer)
      yield* Effect.scoped(lock.acquire("t"))
      expect(Option.isNone(yield* lock.holder("t"))).toBe(true)
      yield* Effect.scoped(lock.acquire("t"))
    }).pipe(Effect.scoped))
})

describe("S3: what is removed", () => {
  /** A store with so many letters, all of which are acknowledged, and what it was asked for that. */
  const acknowledged = (count: number, answers: Parameters<typeof make>[0]) =>
    Effect.gen(function*() {
      const letters = Array.from({ length: count }, (_, number) => `${number.toString(16)}-0-0`)
      const requests: Array<Asked> = []
      const store = make((asked) => {
        if (asked.method === "POST" || asked.method === "DELETE") requests.push(asked)
        return answers?.(asked) ?? Effect.void
      })
      const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
      for (const letter of letters) store.put(`p/mail/t/${letter}`, "")
      requests.length = 0
      yield* driver.acknowledge("t", letters)
      expect([...store.objects.keys()]).toEqual([])
      return requests
    })

  it.live("is asked for some hundred at once, with the checksum that stores want", () =>
    Effect.gen(function*() {
      const requests = yield* acknowledged(1_200, () => Effect.void)
      expect(requests.map(({ method }) => method)).toEqual(["POST", "POST", "POST"])
      for (const { headers } of requests) {
        const sum = Buffer.from(headers["x-amz-content-sha256"] ?? "", "hex").toString("base64")
        expect([sum.length, headers["x-amz-checksum-sha256"]]).toEqual([44, sum])
      }
    }))

  it.live("is asked for again where the answer is 200 with an error in it", () =>
    Effect.gen(function*() {
      let refused = 0
      const requests = yield* acknowledged(1, ({ key, method }) =>
        Effect.sync(() =>
          method === "DELETE" && key.includes("/mail/") && refused++ === 0 ? refusal(200, "InternalError") : undefined
        ))
      expect(requests.map(({ method }) =>
        method
      )).toEqual(["DELETE", "DELETE"])
    }))

  const ways = [[501, "NotImplemented"], [400, "InvalidRequest"], [403, "SignatureDoesNotMatch"]] as const

  it.live(
    "is asked for one by one where the store knows no other way, which it is asked once",
    () =>
      Effect.gen(function*() {
        for (const [status, code] of ways) {
          const requests = yield* acknowledged(501, ({ method }) =>
            Effect.succeed(method === "POST" ? refusal(status, code) : undefined))
          const together = requests.filter(({ method }) =>
            method === "POST"
          )
          expect([together.length, requests.length]).toEqual([1, 502])
        }
      }),
    300_000
  )

  it.live("and is left, is asked for by itself, and what is wrong is told", () =>
    Effect.gen(function*() {
      const left = (keys: ReadonlyArray<string>) => ({
        status: 200,
        body: `<DeleteResult>${
          keys.map((key) => `<Error><Key>${key}</Key><Code>AccessDenied</Code></Error>`).join("")
        }</DeleteResult>`
      })
      const store = make(({ key, method }) =>
        Effect.succeed(
          method === "POST"
            ? left(["p/mail/t/1-0-0", "p/mail/t/2-0-0"])
            : method === "DELETE" && key.endsWith("2-0-0")
            ? refusal(403, "AccessDenied")
            : undefined
          // Whoever is refused first ends the other's request.
        ).pipe(Effect.tap((answer) => answer?.status === 403 ? gone : Effect.void))
      )
      const gone = Effect.repeat(Effect.yieldNow(), { until: () => !store.objects.has("p/mail/t/1-0-0") })
      const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
      for (const number of [1, 2]) store.put(`p/mail/t/${number}-0-0`, "")
      const error = yield* Effect.flip(driver.acknowledge("t", ["1-0-0", "2-0-0"]))
      expect(error).toMatchObject({
        operation: "acknowledge messages",
        problem: expect.stringContaining("AccessDenied")
      })
      expect([...store.objects.keys()]).toEqual(["p/mail/t/2-0-0"])
    }))
})

describe("S3: a store that lists nothing", () => {
  it.effect("lets no engine go on that may have been taken over, though it takes signs of life", () =>
    Effect.gen(function*() {
      let lists = true
      const store = make(({ key, method }) =>
        Effect.succeed(lists || method !== "GET" || key !== "" ? undefined : refusal(403, "AccessDenied"))
      )
      const lock = yield* Effect.provide(S3.makeBindLock(options), store.layer)
      const { lost } = yield* lock.acquire("t")
      const fiber = yield* Effect.fork(lost)
      lists = false
      for (let seconds = 0; seconds < 14; seconds++) yield* inASecond
      expect(Option.isSome(yield* Fiber.poll(fiber))).toBe(true)
    }).pipe(Effect.scoped))
})

describe("S3: a store that fails, and then does not answer", () => {
  it.effect("keeps no engine from knowing within the lease and a sign's time that it may have been taken over", () =>
    Effect.gen(function*() {
      let answers: Effect.Effect<ReturnType<typeof refusal> | void> = Effect.void
      const store = make(() => Effect.suspend(() => answers))
      const lock = yield* Effect.provide(S3.makeBindLock(options), store.layer)
      const { lost } = yield* lock.acquire("t")
      const fiber = yield* Effect.fork(lost)
      answers = Effect.succeed(refusal(403, "AccessDenied"))
      for (let seconds = 0; seconds < 8; seconds++) yield* inASecond
      expect(Option.isSome(yield* Fiber.poll(fiber))).toBe(false)
      answers = Effect.never
      for (let seconds = 8; seconds < 13; seconds++) yield* inASecond
      const told = yield* Fiber.poll(fiber)
      answers = Effect.void
      expect(Option.isSome(told)).toBe(true)
    }).pipe(Effect.scoped))
})

describe("S3: a store whose clock is an hour off", () => {
  /** How many seconds after its holder has frozen a task is another engine's. */
  const secondsUntilTaken = (ahead: number) =>
    Effect.gen(function*() {
      let isFrozen = false
      const store = make(
        ({ headers }) =>
          isFrozen && headers["authorization"]?.includes("Credential=one/") === true ? Effect.never : Effect.void,
        false,
        ahead
      )
      // Of different machines: nobody sees the other's process.
      const lockOf = (name: string) =>
        S3.makeBindLock({ ...options, credentials: { ...credentials, accessKeyId: Redacted.make(name) } }).pipe(
          Effect.provide(FileSystem.layerNoop({})),
          Effect.provideService(HttpClient.HttpClient, store.client)
        )
      const [one, other] = [yield* lockOf("one"), yield* lockOf("other")]
      yield* one.acquire("t")
      const taken = yield* Effect.fork(Effect.retry(other.acquire("t"), Schedule.spaced("1 second")))
      for (let seconds = 0; seconds < 60; seconds++) yield* inASecond
      expect(yield* Fiber.poll(taken)).toEqual(Option.none())
      isFrozen = true
      let seconds = 0
      while (seconds < 60 && Option.isNone(yield* Fiber.poll(taken))) {
        yield* inASecond
        seconds++
      }
      isFrozen = false
      return seconds
    }).pipe(Effect.scoped)

  it.effect("takes no task from an engine that lives, and gives that of a dead one as soon as any other", () =>
    Effect.gen(function*() {
      // The lease and two signs; a second or more later where requests took their time to be signed.
      for (const ahead of [0, 3_600_000, -3_600_000]) {
        const seconds = yield* secondsUntilTaken(ahead)
        expect(seconds).toBeGreaterThanOrEqual(10)
        expect(seconds).toBeLessThan(60)
      }
    }))
})

describe("S3: an engine that is silent", () => {
  it.effect("is watched once for all of its tasks, and anew once it has given a sign", () =>
    Effect.gen(function*() {
      const store = make()
      const lock = yield* S3.makeBindLock(options).pipe(
        Effect.provide(FileSystem.layerNoop({})),
        Effect.provideService(HttpClient.HttpClient, store.client)
      )
      const text = JSON.stringify({ engine: "other", name: "the other", since: new Date(0), process: null })
      const engine = "p/engine/other"
      /** Each time another object. */
      const write = (key: string, modified: number) =>
        Effect.map(seal(text), ({ bytes }) => store.put(key, new TextDecoder().decode(bytes), modified))
      yield* Effect.forEach(["s", "t", "u", "v", "w", "x"], (taskId) => write(`p/lock/${taskId}`, 0))
      /** How many seconds it takes to bind a task. */
      const secondsToBind = Effect.fnUntraced(function*(taskId: string) {
        const binding = yield* Effect.fork(lock.acquire(taskId))
        let seconds = 0
        while (Option.isNone(yield* Fiber.poll(binding))) {
          yield* inASecond
          seconds++
        }
        yield* Fiber.join(binding)
        return seconds
      })
      yield* TestClock.adjust("1 minute")
      yield* write(engine, 0)
      expect(yield* secondsToBind("s")).toBeGreaterThanOrEqual(4)
      // No time passes by the TestClock.
      yield* lock.acquire("t")
      // A sign that is as old by the store's clock.
      yield* write(engine, 0)
      expect(yield* secondsToBind("u")).toBeGreaterThanOrEqual(4)
      // As of one that was silent for an hour.
      store.objects.delete(engine)
      expect(yield* secondsToBind("v")).toBeGreaterThanOrEqual(4)
      yield* lock.acquire("w")
      yield* write(engine, yield* Clock.currentTimeMillis)
      expect(yield* Effect.flip(lock.acquire("x"))).toMatchObject({ _tag: "TaskBoundError", holder: "the other" })
      store.objects.delete(engine)
      expect(yield* secondsToBind("x")).toBeGreaterThanOrEqual(4)
    }).pipe(Effect.scoped))
})

describe("S3: a long journal", () => {
  it.live("of a thousand appends takes a request each, and is read again with less than twenty", () =>
    Effect.gen(function*() {
      const seen: Array<Asked> = []
      const store = make((asked) => Effect.sync(() => void seen.push(asked)))
      const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
      const records = Array.from({ length: 1_000 }, (_, index) => JSON.stringify({ index, text: "x".repeat(500) }))
      const first = yield* Effect.scoped(driver.open("t"))
      yield* first.append(0, [records[0] ?? ""], summary)
      seen.length = 0
      for (let index = 1; index < 1_000; index++) yield* first.append(index, [records[index] ?? ""], summary)
      expect(seen.length).toBe(999)
      // What carrying older records along costs: each is written about five times more.
      const written = seen.reduce((sum, { bytes }) => sum + bytes, 0)
      expect(written / records.join("\n").length).toBeLessThan(8)
      seen.length = 0
      const second = yield* Effect.scoped(driver.open("t"))
      expect(second.records).toEqual(records)
      expect(seen.length).toBeLessThan(20)
      seen.length = 0
      expect(yield* driver.read("t", 999)).toEqual(records.slice(999))
      expect(seen.length).toBeLessThanOrEqual(3)
    }))
})

describe("S3: a store that lists little at once", () => {
  it.live("is asked until it has listed all: tasks, their mail, who has some, and what is to be removed", () =>
    Effect.gen(function*() {
      const store = make(undefined, false, 0, 2)
      const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
      const ids = ["s", "t", "u", "v", "w"]
      for (const taskId of ids) {
        yield* append(driver, taskId, "1")
        yield* driver.send(taskId, "mail")
      }
      for (let number = 1; number < 5; number++) yield* driver.send("t", `${number}`)
      expect(yield* listed(driver)).toEqual(ids.map((taskId) => `${taskId} Running`))
      expect(yield* driver.waiting).toEqual(ids)
      expect((yield* driver.receive("t")).map(({ message }) => message)).toEqual(["mail", "1", "2", "3", "4"])
      for (const taskId of ids) yield* driver.remove(taskId)
      const left = [...store.objects].filter(([, { body }]) => !new TextDecoder().decode(body).includes(`"removed"`))
      expect(left).toEqual([])
    }))
})

describe("S3: what others put under the prefix", () => {
  it.live("the mark of a folder, as other tools make it, hides neither a task nor its mail", () =>
    Effect.gen(function*() {
      const store = make()
      const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
      yield* append(driver, "t", "1")
      yield* driver.send("t", "mail")
      for (const folder of ["", "journal/", "journal/t/", "mail/", "mail/t/", "task/", "task/t/"]) {
        store.put(`p/${folder}`, "")
      }
      expect(yield* driver.read("t", 0)).toEqual(["1"])
      yield* append(driver, "t", "2")
      expect(yield* driver.read("t", 0)).toEqual(["1", "2"])
      expect(yield* listed(driver)).toEqual(["t Running"])
      expect((yield* driver.receive("t")).map(({ message }) => message)).toEqual(["mail"])
      yield* driver.remove("t")
      expect(yield* driver.read("t", 0)).toEqual([])
      expect(yield* listed(driver)).toEqual([])
      expect(yield* driver.receive("t")).toEqual([])
    }))
})

describe("S3: the objects of engines that are gone", () => {
  it.live("are removed also where others put something beside them", () =>
    Effect.gen(function*() {
      const store = make()
      const begin = Effect.provide(S3.makeBindLock(options), store.layer)
      const dead = yield* Effect.scoped(Effect.gen(function*() {
        yield* Effect.flatMap(begin, (lock) => lock.acquire("t"))
        const [engine] = [...store.objects].flatMap(([key, { body }]) => key.startsWith("p/engine/") ? [body] : [])
        return Option.getOrThrow(unseal(engine ?? new Uint8Array())).content.replace(
          /"pid":"\d+"/,
          "\"pid\":\"999999999\""
        )
      }))
      const { bytes } = yield* seal(dead)
      store.put("p/engine/", "")
      store.put("p/engine/0123456789abcdef", new TextDecoder().decode(bytes))
      yield* Effect.scoped(begin)
      expect([...store.objects.keys()]).toEqual(["p/engine/"])
    }))

  it.live("are left where they were silent for no more than a lease", () =>
    Effect.gen(function*() {
      const store = make()
      const text = JSON.stringify({ engine: "other", name: "the other", since: new Date(0), process: null })
      const { bytes } = yield* seal(text)
      const now = yield* Clock.currentTimeMillis
      store.put("p/engine/other", new TextDecoder().decode(bytes), now - Duration.toMillis("2 hours"))
      const begin = (lease: Duration.DurationInput) =>
        Effect.scoped(Effect.provide(S3.makeBindLock({ ...options, lease }), store.layer))
      yield* begin("12 hours")
      expect([...store.objects.keys()]).toEqual(["p/engine/other"])
      yield* begin("10 seconds")
      expect([...store.objects.keys()]).toEqual([])
    }))
})

describe("S3: what was tampered with", () => {
  it.live("a register's entry that cannot be read is passed over, and the journal asked", () =>
    Effect.gen(function*() {
      const store = make()
      const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
      for (const taskId of ["s", "t", "u"]) yield* append(driver, taskId, "1", { status: "Failed" })
      const entryOf = (taskId: string) =>
        [...store.objects.keys()].find((key) => key.startsWith(`p/task/${taskId}/`)) ?? ""
      const { bytes } = yield* seal("{}")
      store.put(entryOf("t"), "no object of ours")
      store.put(entryOf("u"), new TextDecoder().decode(bytes))
      expect(yield* listed(driver)).toEqual(["s Failed", "t Failed", "u Failed"])
      for (const taskId of ["t", "u"]) yield* append(driver, taskId, "2")
      expect(yield* listed(driver)).toEqual(["s Failed", "t Running", "u Running"])
      for (const taskId of ["t", "u"]) yield* append(driver, taskId, "3", { status: "Succeeded" })
      expect(yield* listed(driver)).toEqual(["s Failed", "t Succeeded", "u Succeeded"])
      store.put(entryOf("t"), "no object of ours")
      yield* driver.remove("t")
      expect(yield* listed(driver)).toEqual(["s Failed", "u Succeeded"])
    }), 300_000)

  it.live(
    "a journal that cannot be read any more is removed, and whoever was overtaken in it is refused all the same",
    () =>
      Effect.gen(function*() {
        for (const damaged of [1, 2, 3]) {
          const store = make()
          const driver = Effect.provide(S3.makeTaskIO(options), store.layer)
          const claim = Effect.scoped(Effect.flatMap(driver, ({ open }) => open("t", 10)))
          const stale = yield* claim
          yield* stale.append(0, ["1"], summary)
          const overtaken = yield* claim
          yield* overtaken.append(1, ["2"], summary)
          const last = yield* claim
          yield* last.append(2, ["3"], summary)
          const newest = [...store.objects.keys()].filter((key) => key.startsWith("p/journal/t/")).toSorted()
          for (const key of newest.slice(0, damaged)) store.put(key, "no object of ours")
          const fresh = yield* driver
          yield* fresh.remove("t")
          for (const [journal, position] of [[stale, 1], [overtaken, 2], [last, 3]] as const) {
            const error = yield* Effect.flip(journal.append(position, ["late"], summary))
            expect(error).toMatchObject({ _tag: "StaleWriterError" })
          }
          expect(yield* fresh.read("t", 0)).toEqual([])
          const left = [...store.objects].filter(([, { body }]) =>
            !new TextDecoder().decode(body).includes(`"removed"`)
          )
          expect(left).toEqual([])
          expect((yield* claim).epoch).toBeGreaterThan(last.epoch)
        }
      }),
    300_000
  )
})
