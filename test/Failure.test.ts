import { Headers, HttpClientError, HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import {
  Cause,
  Config,
  ConfigProvider,
  Data,
  Duration,
  Effect,
  Either,
  Exit,
  FastCheck,
  Fiber,
  FiberId,
  JSONSchema,
  Option,
  Redacted,
  Schema
} from "effect"
import { CheckMateError, StageStatus, TaskEvent, TaskStatus } from "effect-checkmate"
import * as Failure from "effect-checkmate/Failure"
import { createServer, get } from "node:http"
import { attributes } from "./support/arbitraries.ts"

class HttpError extends Schema.TaggedError<HttpError>()("HttpError", {
  status: Schema.Number,
  url: Schema.String
}) {
  override get message(): string {
    return `${this.status} from ${this.url}`
  }
}
class Plain extends Data.TaggedError("Plain")<{ readonly reason: string; readonly cause?: unknown }> {}

const http = new HttpError({ status: 503, url: "http://embedder" })
const kept = (error: unknown): Failure.Failure => Failure.fromUnknown(error, "Failure")

/** Whatever was kept can be journaled, and nothing in it is a useless text. */
const sound = (failure: Failure.Failure): Failure.Failure => {
  const text = JSON.stringify(failure)
  expect(text).not.toContain("[object Object]")
  expect(JSON.parse(text)).toEqual(failure)
  expect(Schema.decodeUnknownSync(Failure.Failure)(JSON.parse(text))).toEqual(failure)
  expect(failure.message).not.toBe("")
  expect(failure.tag).not.toBe("")
  return failure
}

describe("Failure", () => {
  describe("of a typed error", () => {
    it("keeps tag, message, fields and stack", () => {
      const failure = sound(kept(http))
      expect(failure).toMatchObject({
        kind: "Failure",
        tag: "HttpError",
        message: "503 from http://embedder",
        fields: { status: 503, url: "http://embedder" }
      })
      expect(failure.stack).toContain("Failure.test.ts")
      expect(failure).not.toHaveProperty("causes")
      expect(failure).not.toHaveProperty("others")
    })

    it("shows the fields where the error has no message of its own", () => {
      expect(sound(kept({ _tag: "Refused", by: "the embedder" }))).toEqual({
        kind: "Failure",
        tag: "Refused",
        message: "Refused {\"by\":\"the embedder\"}",
        fields: { by: "the embedder" }
      })
      expect(sound(kept(new Plain({ reason: "no room" })))).toMatchObject({
        tag: "Plain",
        fields: { reason: "no room" }
      })
      expect(sound(kept(new Plain({ reason: "no room" }))).message).toContain("no room")
    })

    it("keeps a field whatever it is called", () => {
      class NotFound extends Data.TaggedError("NotFound")<{ readonly name: string; readonly stack: string }> {}
      const fields = { name: "docs.md", kind: "file", tag: "x" }
      expect(sound(kept({ _tag: "NotFound", ...fields })).fields).toEqual(fields)
      expect(sound(kept(new NotFound({ name: "docs.md", stack: "here" }))).fields).toMatchObject({ name: "docs.md" })
    })

    it("keeps what kind of failure it is", () => {
      const timeout = new CheckMateError.StageTimeoutError({
        taskId: "docs",
        stage: "index",
        attempt: 2,
        timeout: Duration.minutes(1)
      })
      expect(Failure.fromCause(Cause.fail(timeout))).toMatchObject({ kind: "Timeout", tag: "StageTimeoutError" })
      expect(Failure.fromCause(Cause.fail(http))).toMatchObject({ kind: "Failure", tag: "HttpError" })
      expect(Failure.fromCause(Cause.die(http))).toMatchObject({ kind: "Defect", tag: "HttpError" })
    })
  })

  describe("of what is no typed error", () => {
    it("keeps JavaScript's own errors by name, with what they carry", () => {
      const system = Object.assign(new Error("ENOENT: no such file"), { code: "ENOENT", errno: -2 })
      expect(sound(kept(system))).toMatchObject({
        tag: "Error",
        message: "ENOENT: no such file",
        fields: { code: "ENOENT", errno: -2 }
      })
      expect(sound(kept(new TypeError("x is not a function")))).toMatchObject({ tag: "TypeError" })
      expect(sound(kept(new Error()))).toMatchObject({ tag: "Error" })
    })

    it("keeps the errors that an AggregateError gathers", () => {
      const failure = sound(kept(new AggregateError([new Error("one"), new Error("two")], "both")))
      expect(failure).toMatchObject({ tag: "AggregateError", message: "both" })
      expect(JSON.stringify({ ...failure, stack: "" })).toMatch(/one.*two/)
    })

    it("keeps texts, numbers and the like as they are", () => {
      expect(kept("no room")).toEqual({ kind: "Failure", tag: "string", message: "no room" })
      expect(kept(42)).toEqual({ kind: "Failure", tag: "number", message: "42" })
      expect(kept(Number.NaN)).toMatchObject({ tag: "number", message: "\"NaN\"" })
      expect(kept(null)).toEqual({ kind: "Failure", tag: "null", message: "null" })
      expect(kept(undefined)).toEqual({ kind: "Failure", tag: "undefined", message: "undefined" })
      expect(kept(true)).toEqual({ kind: "Failure", tag: "boolean", message: "true" })
      expect(kept(3n)).toMatchObject({ tag: "bigint" })
      expect(kept(3n).message).toContain("3")
      expect(kept(Symbol("s")).message).toContain("Symbol(s)")
      expect(kept(function embed() {}).message).toContain("embed")
      expect(kept(["a", { b: 1 }]).message).toBe("[\"a\",{\"b\":1}]")
    })

    it("says of which setting a configuration has none", () => {
      const missing = (config: Config.Config<unknown>) =>
        Either.match(
          Effect.runSync(Effect.either(Effect.withConfigProvider(config, ConfigProvider.fromMap(new Map())))),
          {
            onLeft: (error) => sound(kept(error)).message,
            onRight: () => "there is one"
          }
        )
      expect(missing(Config.redacted("API_KEY"))).toBe("(Missing data at API_KEY: \"<redacted>\")")
      expect(missing(Config.all([Config.string("URL"), Config.redacted("API_KEY")]))).toContain(
        "Missing data at API_KEY"
      )
    })

    it("never says [object Object]", () => {
      class Opaque {
        readonly code = 7
      }
      const empty = new (class Empty extends Object {})()
      for (
        const error of [
          { a: 1 },
          { a: { b: { c: [{}] } } },
          {},
          [],
          [{}],
          new Opaque(),
          empty,
          new Map([["a", {}]])
        ]
      ) {
        sound(kept(error))
        sound(Failure.fromCause(Cause.die(error)))
      }
      expect(kept({ a: { b: 1 } }).message).toContain("{\"a\":{\"b\":1}}")
      expect(kept(new Opaque()).fields).toEqual({ code: 7 })
    })

    it("names an object by its class, as its documentation says", () => {
      class Opaque {
        readonly code = 7
      }
      expect(kept(new Opaque()).tag).toBe("Opaque")
    })

    it.prop("keeps the fields of every JSON object", { fields: attributes }, ({ fields }) => {
      const clean = Object.fromEntries(
        Object.entries(fields).filter(([key]) => !["_tag", "message", "stack", "cause", "name"].includes(key))
      )
      expect(sound(kept({ _tag: "Refused", ...clean })).fields ?? {}).toEqual(clean)
    })

    it.prop(
      "is total over everything JavaScript can throw",
      {
        error: FastCheck.anything({
          withBigInt: true,
          withDate: true,
          withMap: true,
          withSet: true,
          withTypedArray: true,
          withSparseArray: true,
          withNullPrototype: true,
          withObjectString: true,
          withBoxedValues: true
        })
      },
      ({ error }) => {
        const failure = kept(error)
        const text = JSON.stringify(failure)
        expect(Schema.is(Failure.Failure)(JSON.parse(text))).toBe(true)
        expect(typeof Failure.format(failure)).toBe("string")
      },
      { timeout: 30_000, fastCheck: { numRuns: 500 } }
    )
  })

  it.each([
    ["a bigint", 12n, "\"12\""],
    ["text", "no", "no"]
  ])("is told of a stage that died with %s", (_, defect, told) => {
    const error = new CheckMateError.StageDefectError({ taskId: "t", stage: "s", attempt: 1, defect })
    expect(error.message).toBe(`Attempt 1 of stage "s" in task "t" died: ${told}`)
  })

  it("is told of a stage that died with what contains itself", () => {
    const cycle: Record<string, unknown> = {}
    cycle.self = cycle
    const { message } = new CheckMateError.StageDefectError({ taskId: "t", stage: "s", attempt: 1, defect: cycle })
    expect(message).toContain("died: {\"self\":{\"self\"")
  })

  describe("causes", () => {
    it("keeps the chain of causes, outermost first", () => {
      const root = new Error("connection reset")
      const middle = new Plain({ reason: "cannot reach the embedder", cause: root })
      const failure = sound(kept(new Error("cannot index", { cause: middle })))
      expect(failure).toMatchObject({ tag: "Error", message: "cannot index" })
      expect(failure.causes?.map(({ tag }) => tag)).toEqual(["Plain", "Error"])
      expect(failure.causes?.[1]?.message).toBe("connection reset")
      expect(failure.fields ?? {}).not.toHaveProperty("cause")
    })

    it("keeps causes that are no errors", () => {
      expect(sound(kept(new Error("outer", { cause: "a text" }))).causes).toEqual([
        { kind: "Failure", tag: "string", message: "a text" }
      ])
      expect(sound(kept(new Error("outer", { cause: { code: 3 } }))).causes?.[0]?.message).toContain("{\"code\":3}")
    })

    it("ends where causes go in a circle, or on and on", () => {
      const one = new Error("one")
      const two = new Error("two", { cause: one })
      one.cause = two
      expect(sound(kept(one)).causes?.map(({ message }) => message)).toEqual(["two"])
      let deep = new Error("0")
      for (let index = 1; index < 1000; index++) deep = new Error(String(index), { cause: deep })
      const { causes, message } = sound(kept(deep))
      expect(message).toBe("999")
      expect(causes?.length).toBeGreaterThanOrEqual(5)
      expect(causes?.length).toBeLessThan(50)
    })

    it("lets the first typed failure lead, and keeps what failed beside and after it in others", () => {
      const cause = Cause.sequential(
        Cause.parallel(
          Cause.die(new RangeError("defect beside")),
          Cause.parallel(Cause.fail(http), Cause.fail("another"))
        ),
        Cause.die("in a finalizer")
      )
      const failure = sound(Failure.fromCause(cause))
      expect(failure).toMatchObject({ kind: "Failure", tag: "HttpError" })
      expect(failure.others?.map(({ kind, message }) => [kind, message])).toEqual([
        ["Failure", "another"],
        ["Defect", "defect beside"],
        ["Defect", "in a finalizer"]
      ])
    })

    it.effect("keeps twenty of what failed in a thousand fibers at once, and what failed after them", () =>
      Effect.gen(function*() {
        const gate = yield* Effect.makeLatch()
        const call = Effect.zipRight(gate.await, Effect.fail(http))
        const fiber = yield* Effect.fork(
          Effect.forEach(Array.from({ length: 1_000 }), () => call, { concurrency: "unbounded" }).pipe(
            Effect.ensuring(Effect.die("finalizer"))
          )
        )
        yield* Effect.yieldNow()
        yield* gate.open
        const failure = sound(Failure.fromCause(Option.getOrThrow(Exit.causeOption(yield* Fiber.await(fiber)))))
        expect(failure.others?.map(({ message }) => message)).toEqual([
          ...Array.from({ length: 20 }, () => failure.message),
          "finalizer"
        ])
      }))

    it.effect("keeps all that a validation gathered, with the fields of each", () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(
          Effect.validateAll(["a", "b", "c"], (reason) => Effect.fail(new Plain({ reason }))).pipe(
            Effect.ensuring(Effect.die("finalizer"))
          )
        )
        const failure = sound(Failure.fromCause(Option.getOrThrow(Exit.causeOption(exit))))
        expect(JSON.stringify(failure)).toContain("finalizer")
        for (const reason of ["a", "b", "c"]) {
          expect(JSON.stringify(failure)).toMatch(new RegExp(`reason[^a-z]+${reason}`))
        }
      }))

    it("tells an interruption, alone or beside a failure", () => {
      expect(sound(Failure.fromCause(Cause.interrupt(FiberId.none)))).toMatchObject({
        kind: "Interruption",
        tag: "Interruption"
      })
      expect(sound(Failure.fromCause(Cause.empty))).toMatchObject({ kind: "Interruption" })
      const both = Cause.parallel(Cause.interrupt(FiberId.none), Cause.fail(http))
      expect(Failure.fromCause(both)).toMatchObject({ kind: "Failure", tag: "HttpError" })
    })

    it("has a record for an attempt whose process died", () => {
      expect(sound(Failure.crash)).toMatchObject({ kind: "Crash", tag: "Crash" })
    })
  })

  describe("secrets", () => {
    const secret = "hunter2-the-secret"
    const token = Redacted.make(secret)
    class LoginError extends Schema.TaggedError<LoginError>()("LoginError", {
      user: Schema.String,
      password: Schema.Redacted(Schema.String)
    }) {}
    class Session {
      readonly token = token
      readonly nested = { list: [token], map: new Map([["token", token]]), set: new Set([token]) }
    }

    it("stay redacted, wherever they are", () => {
      const failure = sound(kept(new LoginError({ user: "ann", password: token })))
      expect(failure.fields).toEqual({ user: "ann", password: "<redacted>" })
      const errors = [
        token,
        [token],
        { token },
        new LoginError({ user: "ann", password: token }),
        new Plain({ reason: "no", cause: token }),
        new Plain({ reason: "no", cause: new LoginError({ user: "ann", password: token }) }),
        Object.assign(new Error("no"), { session: new Session() }),
        new Error("the token ".concat(String(token as unknown), " is wrong")),
        { cause: { token }, deep: [[{ token: Option.some(token) }]] },
        new AggregateError([new LoginError({ user: "ann", password: token })], "both")
      ]
      for (const error of errors) {
        for (const cause of [Cause.fail(error), Cause.die(error), Cause.parallel(Cause.fail("x"), Cause.die(error))]) {
          expect(JSON.stringify(Failure.fromCause(cause))).not.toContain(secret)
          sound(Failure.fromCause(cause))
        }
      }
    })

    it("show that there was one", () => {
      expect(JSON.stringify(kept({ deep: { token } }))).toContain("<redacted>")
    })

    it("show that there was one where the failure itself is one", () => {
      expect(kept(token).message).toBe("<redacted>")
    })

    it("stay redacted in the headers of a request that was refused, and of its response", () => {
      const request = HttpClientRequest.get("http://embedder").pipe(HttpClientRequest.bearerToken(token))
      const response = HttpClientResponse.fromWeb(request, new Response(null, { headers: { "set-cookie": secret } }))
      const refused = new HttpClientError.ResponseError({ request, response, reason: "StatusCode" })
      const { headers } = request
      for (const error of [refused, new Plain({ reason: "no", cause: refused }), { headers }, headers]) {
        const text = JSON.stringify(sound(Failure.fromCause(Cause.fail(error))))
        expect(text).not.toContain(secret)
        expect(text).toContain("<redacted>")
      }
    })

    it.effect("are those headers, too, that the program says are secret", () =>
      Effect.sync(() => {
        const headers = Headers.fromInput({ "x-api-key": secret, "content-type": "text/plain" })
        expect(kept({ headers }).fields).toEqual({
          headers: { "x-api-key": "<redacted>", "content-type": "text/plain" }
        })
      }).pipe(Effect.locally(Headers.currentRedactedNames, ["x-api-key"])))
  })

  describe("survives", () => {
    it("values that contain themselves", () => {
      const cycle: Record<string, unknown> = { label: "cycle" }
      cycle.self = cycle
      cycle.list = [cycle, { cycle }]
      expect(sound(kept(cycle)).fields).toMatchObject({ label: "cycle" })
      expect(sound(kept(Object.assign(new Error("no"), { cycle }))).message).toBe("no")
    })

    it("a huge message", () => {
      const failure = sound(kept(new Error("x".repeat(5_000_000))))
      expect(failure.message).toMatch(/^x{1000}/)
      expect(JSON.stringify(failure).length).toBeLessThan(100_000)
    })

    it("a huge tag", () => {
      for (const error of [{ _tag: "X".repeat(5_000_000) }, { _tag: "X".repeat(5_000_000), by: "the embedder" }]) {
        const failure = sound(kept(error))
        expect(failure.message).toMatch(/^X{200}… \(4999800 more characters\)/)
        expect(JSON.stringify(failure).length).toBeLessThan(1_000)
      }
    })

    it("huge values, and keeps what is kept of them small", () => {
      const text = "x".repeat(5_000_000)
      const errors = [
        text,
        { text },
        Array.from({ length: 100_000 }, (_, index) => ({ index })),
        Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`key${index}`, text])),
        Object.assign(new Error("no"), { body: text }),
        { lists: Array.from({ length: 100 }, () => Array.from({ length: 100 }, () => ["a".repeat(100)])) }
      ]
      for (const error of errors) expect(JSON.stringify(sound(kept(error))).length).toBeLessThan(1_000_000)
    })

    it("values that reach one another over and over", () => {
      let shared: unknown = "leaf"
      for (let level = 0; level < 30; level++) shared = Array.from({ length: 12 }, () => shared)
      const failure = kept(Object.assign(new Error("no"), { shared }))
      expect(JSON.stringify(failure).length).toBeLessThan(1_000_000)
    })

    it("an error that drags a socket along, as HTTP clients' errors do", async () => {
      const server = createServer((_, response) => response.end("ok"))
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const response = await new Promise((resolve, reject) => get({ port }, resolve).on("error", reject))
      server.closeAllConnections()
      server.close()
      const failure = sound(kept(Object.assign(new Error("500"), { response })))
      expect(failure.message).toBe("500")
      expect(JSON.stringify(failure).length).toBeLessThan(100_000)
    })

    it("a BigInt, a function, a symbol, bytes, and dates that are none", () => {
      const failure = sound(kept({
        big: 3n,
        call: function embed() {},
        mark: Symbol("s"),
        bytes: new Uint8Array(3),
        never: new Date(Number.NaN),
        nan: Number.NaN,
        gone: undefined,
        url: new URL("http://localhost/a"),
        pattern: /a+/
      }))
      expect(failure.fields).toMatchObject({
        big: "3",
        call: "[function embed]",
        mark: "Symbol(s)",
        bytes: "[Uint8Array of 3 bytes]",
        never: "Invalid Date",
        nan: "NaN",
        url: "http://localhost/a"
      })
    })

    it("getters that throw: the rest is kept", () => {
      const error = new Error("no")
      Object.defineProperty(error, "detail", { enumerable: true, get: () => raise("getter") })
      expect(sound(kept(error))).toMatchObject({ tag: "Error", message: "no" })
      expect(() =>
        kept({
          get detail() {
            return raise("getter")
          }
        })
      ).not.toThrow()
      expect(() =>
        kept({
          deep: {
            get detail() {
              return raise("getter")
            }
          }
        })
      ).not.toThrow()
      for (const name of ["message", "_tag", "cause", "stack", "name"]) {
        const hostile = new Error("no")
        Object.defineProperty(hostile, name, { get: () => raise("getter") })
        expect(() => kept(hostile), name).not.toThrow()
        expect(() => Failure.fromCause(Cause.fail(hostile)), name).not.toThrow()
      }
    })

    it("a toJSON that throws, returns itself, or asks for a key", () => {
      for (
        const toJSON of [() => raise("toJSON"), function(this: unknown) {
          return this
        }, (key: string) => key.length]
      ) {
        sound(kept({ value: { toJSON } }))
      }
    })

    it("proxies, revoked ones too", () => {
      const { proxy, revoke } = Proxy.revocable({}, {})
      revoke()
      expect(() => kept(new Proxy({}, { ownKeys: () => raise("trap"), get: () => raise("trap") }))).not.toThrow()
      expect(() => kept(proxy)).not.toThrow()
      expect(() => kept({ proxy })).not.toThrow()
    })
  })

  describe("its schema", () => {
    it("has a JSON Schema, by which an API is described, and so has whatever holds a failure", () => {
      const all = Schema.Union(Failure.Failure, TaskStatus.TaskStatus, StageStatus.StageStatus, TaskEvent.TaskEvent)
      expect(JSONSchema.make(all).$defs).toHaveProperty("CheckMateFailure")
    })
  })

  describe("format", () => {
    it("is one line, also where the message is more", () => {
      expect(Failure.format(kept(new Error("no room\n└─ on the disk")))).not.toContain("\n")
    })

    it("names the tag once", () => {
      expect(Failure.format(kept(http))).toBe("HttpError: 503 from http://embedder")
      expect(Failure.format(kept({ _tag: "Refused", by: "x" }))).toBe("Refused {\"by\":\"x\"}")
      expect(Failure.format(kept("no room"))).toBe("string: no room")
    })
  })
})

const raise = (message: string): never => {
  throw new Error(message)
}
