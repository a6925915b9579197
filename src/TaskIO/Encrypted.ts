/**
 * Encryption for any store: AES-256-GCM through WebCrypto, above the driver, so that the store never sees what stages
 * take, return and fail with, nor what messages say.
 *
 * A record is sealed for its task and its position, so that it opens nowhere else, and names the key it was sealed
 * with, so that older records stay readable when another key becomes the current one:
 *
 * ```text
 * {"encrypted":1,"key":"2026-11","data":"<base64: nonce of 12 bytes, what is sealed, tag of 16>"}
 * ```
 *
 * What stays in clear, so that `find` works without reading journals: task ids, the CheckMate's name, statuses, the name
 * of the latest stage, how many stages there are and have succeeded, tags, times, how many records there are and how
 * long, and the ids of tasks that have mail. The memo is sealed. So keep secrets out of ids, tags and names.
 *
 * What it does not tell: that records at a journal's end are gone, that a whole task was put back to an earlier copy, that
 * a record stands where an earlier task of the same id had it, or that a letter was delivered twice. Who can write to the
 * store can do that, and change what lists show, but make no record.
 *
 * Each record takes a new random nonce, which is safe for 2^32 records and letters per key (NIST SP 800-38D): make
 * another key the current one long before that, once a year for instance. There is no need to write old records anew.
 *
 * @since 0.1.0
 */

import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { DecryptionError, EncryptionKeysError, JournalVersionError, TaskIOError } from "../CheckMateError.ts"
import * as Cipher from "../internal/cipher.ts"
import { logWarning } from "../internal/log.ts"
import { list } from "../internal/words.ts"
import type { Encoded, EncodedJournal, EncodedSummary, Letter } from "./Encoded.ts"

/** The newest format of a sealed text this version opens, and the one it makes. */
const format = 1

/**
 * The keys of a store: those that may have been written with, by their ids, and which of them writes. A key is 32 random
 * bytes, or the base64 of them (`openssl rand -base64 32`). Its id, of `A-Z a-z 0-9 . _ -`, is no secret.
 *
 * @since 0.1.0
 * @category models
 */
export interface Keys {
  readonly current: string
  readonly keys: Readonly<Record<string, Redacted.Redacted<string | Uint8Array>>>
}

/**
 * How an encrypted store reads.
 *
 * @since 0.1.0
 * @category options
 */
export interface EncryptedOptions {
  /**
   * Also reads records that are not encrypted, of tasks begun before encryption was switched on; what is written is
   * encrypted. Whoever can write to the store can then forge records: for a time of change only. `TaskIO.copy` into an
   * encrypted store does without it.
   *
   * @default false
   */
  readonly allowPlaintext?: boolean | undefined
}

// --- keys -----------------------------------------------------------------------

const keyId = /^[A-Za-z0-9._-]{1,64}$/

/** Keys as one text, `id:base64,id:base64`, the current one first. */
const parseKeys = (name: string, text: string): Either.Either<Keys, ConfigError.ConfigError> => {
  const entries = text.split(",").map((entry) => entry.trim().split(":"))
  const wrong = entries.findIndex((entry) => entry.length !== 2 || entry.some((part) => part.trim() === ""))
  const keys = Object.fromEntries(entries.map(([id = "", key = ""]) => [id.trim(), Redacted.make(key.trim())]))
  const invalid = (problem: string) => Either.left(ConfigError.InvalidData([name], problem))
  return wrong >= 0
    ? invalid(`key ${wrong + 1} is not written as id:base64`)
    : Object.keys(keys).length < entries.length
    ? invalid("two keys have the same id")
    : Either.right({ current: entries[0]?.[0]?.trim() ?? "", keys })
}

/**
 * The keys from configuration, `CHECKMATE_KEYS` in the environment for instance: `id:base64,id:base64`, the current key
 * first, and older ones behind it for as long as anything written with them is to be read.
 *
 * @since 0.1.0
 * @category constructors
 */
export const config = (name = "CHECKMATE_KEYS"): Config.Config<Keys> =>
  Config.mapOrFail(Config.redacted(name), (text) => parseKeys(name, Redacted.value(text)))

interface Ring {
  readonly current: string
  readonly key: Cipher.Key
  readonly keys: ReadonlyMap<string, Cipher.Key>
}

/** Whether they are keys, which untyped code may only say they are. */
const areKeys = (given: unknown): given is Keys =>
  Predicate.hasProperty(given, "current") && Predicate.isString(given.current)
  && Predicate.hasProperty(given, "keys") && Predicate.isRecord(given.keys)

const makeRing = Effect.fnUntraced(function*(given: Keys): Effect.fn.Return<Ring, EncryptionKeysError> {
  if (!areKeys(given)) {
    return yield* new EncryptionKeysError({
      keyId: "?",
      problem: "is not told: what is given is no { current: id, keys: { id: Redacted } }"
    })
  }
  const { current, keys } = given
  const ring = new Map<string, Cipher.Key>()
  for (const [id, secret] of Object.entries(keys)) {
    if (!keyId.test(id)) return yield* new EncryptionKeysError({ keyId: id, problem: "is no id for a key" })
    const key = yield* Effect.mapError(
      Cipher.makeKey(secret),
      ({ problem }) => new EncryptionKeysError({ keyId: id, problem })
    )
    ring.set(id, key)
  }
  const key = ring.get(current)
  return key === undefined
    ? yield* new EncryptionKeysError({
      keyId: current,
      problem: "is to be the current one, and is not among the keys"
    })
    : { current, key, keys: ring }
})

// --- sealing --------------------------------------------------------------------

const Sealed = Schema.Struct({ encrypted: Schema.Int, key: Schema.String, data: Schema.String })
const decodeSealed = Schema.decodeUnknownOption(Schema.parseJson(Sealed))
const decodeMemo = Schema.decodeUnknownOption(Schema.parseJson(Schema.String))

/** What a text is for, where it stands, and what it was sealed with. */
const placeOf = (kind: "record" | "memo" | "mail", taskId: string, position: number, key: string): string =>
  JSON.stringify(["checkmate", format, kind, taskId, position, key])

/** How many records are opened at a time: as many as Node has threads for that. */
const openedAtOnce = 4

/** What keeps a text from being opened. */
type Shut = DecryptionError | JournalVersionError

/** Seals and opens texts for one store. */
const sealer = (ring: Ring, allowPlaintext: boolean) => {
  const seal = (kind: "record" | "memo" | "mail", taskId: string, position: number, text: string) =>
    Effect.mapBoth(Cipher.seal(ring.key, placeOf(kind, taskId, position, ring.current), text), {
      onFailure: ({ cause }) =>
        new TaskIOError({ operation: "encrypt", taskId, location: kind, problem: "WebCrypto refused", cause }),
      onSuccess: (data) => JSON.stringify({ encrypted: format, key: ring.current, data } satisfies typeof Sealed.Type)
    })

  const open = (
    kind: "record" | "memo" | "mail",
    taskId: string,
    position: number,
    text: string
  ): Effect.Effect<string, Shut> => {
    const location = kind === "record" ? `record ${position}` : `the ${kind}`
    const refuse = (problem: string, key?: string) =>
      Effect.fail(new DecryptionError({ taskId, location, problem, ...(key === undefined ? {} : { key }) }))
    const sealed = decodeSealed(text)
    if (Option.isNone(sealed)) {
      return allowPlaintext ? Effect.succeed(text) : refuse(
        "it is not encrypted. Read tasks that were begun before encryption was switched on with allowPlaintext, or "
          + "copy them to an encrypted store"
      )
    }
    const { data, encrypted, key: id } = sealed.value
    if (encrypted > format) {
      return Effect.fail(new JournalVersionError({ taskId, version: encrypted, supported: format }))
    }
    const key = ring.keys.get(id)
    if (key === undefined) {
      return refuse(
        `it was encrypted with key "${id}", and known are ${list(ring.keys.keys())}. Give that key, too`,
        id
      )
    }
    return Effect.catchAll(
      Cipher.open(key, placeOf(kind, taskId, position, id), data),
      () =>
        refuse(
          `it is not what key "${id}" wrote here. Give the key of that id it was written with; if you have, it was changed `
            + "or moved, so restore it from a backup",
          id
        )
    )
  }

  return { seal, open }
}

// --- the driver -----------------------------------------------------------------

/**
 * The driver over another one, with what that one stores encrypted. A key that is no key is an `EncryptionKeysError`. A
 * record of an unknown key, one that is not encrypted and one that is not authentic is a `DecryptionError`. Memos and
 * messages that cannot be opened are left out with a warning: there may be another engine that can.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  driver: Encoded,
  keys: Keys,
  options: EncryptedOptions = {}
): Effect.Effect<Encoded, EncryptionKeysError> =>
  Effect.map(makeRing(keys), (ring) => {
    const { open, seal } = sealer(ring, options.allowPlaintext ?? false)

    /** All; of those that do not open, the first is told of. */
    const openAll = (taskId: string, from: number, records: ReadonlyArray<string>) =>
      Effect.flatMap(
        Effect.forEach(records, (text, index) => Effect.either(open("record", taskId, from + index, text)), {
          // Each is opened by another thread: until it is, everything else has its turn, which it has not where all begin first.
          concurrency: openedAtOnce
        }),
        (opened) => Either.all(opened)
      )

    const sealSummary = (summary: EncodedSummary): Effect.Effect<EncodedSummary, TaskIOError> =>
      summary.memo === undefined
        ? Effect.succeed(summary)
        // As JSON, which keeps every text, those that are no Unicode too.
        : Effect.map(seal("memo", summary.taskId, 0, JSON.stringify(summary.memo)), (memo) => ({ ...summary, memo }))

    const openMemo = (taskId: string, memo: string) =>
      Effect.map(open("memo", taskId, 0, memo), (text) =>
        // One that was not sealed is no JSON, or not meant to be.
        text === memo ? memo : Option.getOrElse(decodeMemo(text), () => text))

    const openSummary = (summary: EncodedSummary): Effect.Effect<EncodedSummary> => {
      const { memo, ...rest } = summary
      return memo === undefined ? Effect.succeed(summary) : openMemo(summary.taskId, memo).pipe(
        Effect.map((memo) => ({ ...rest, memo })),
        Effect.catchAll((error) =>
          Effect.as(logWarning(`The memo of task ${summary.taskId} is left out: ${error.message}`), rest)
        )
      )
    }

    const withSealing = (taskId: string, journal: EncodedJournal): EncodedJournal => {
      // The memo is the same for all of a task's life, and sealing it once is enough.
      let sealed: { readonly memo: string | undefined; readonly as: string | undefined } | undefined
      const summaryOf = (summary: EncodedSummary) =>
        sealed !== undefined && sealed.memo === summary.memo
          ? Effect.succeed(sealed.as === undefined ? summary : { ...summary, memo: sealed.as })
          : Effect.tap(sealSummary(summary), (now) =>
            Effect.sync(() => {
              sealed = { memo: summary.memo, as: now.memo }
            }))
      return {
        ...journal,
        append: (position, [first, ...rest], summary) =>
          Effect.all([
            seal("record", taskId, position, first),
            Effect.forEach(rest, (text, index) => seal("record", taskId, position + 1 + index, text), {
              concurrency: "unbounded"
            }),
            summaryOf(summary)
          ], { concurrency: "unbounded" }).pipe(
            Effect.flatMap(([head, tail, sealedSummary]) => journal.append(position, [head, ...tail], sealedSummary))
          )
      }
    }

    /** Told of once: a letter that cannot be opened lies there until someone can. */
    const told = new Set<string>()
    const leaveOut = (taskId: string, id: string, error: Shut) =>
      Effect.suspend(() => {
        if (told.has(id)) return Effect.void
        told.add(id)
        return logWarning(`A message for task ${taskId} is left unread: ${error.message}`)
      })

    return {
      ...driver,
      open: (taskId, atLeast) =>
        Effect.flatMap(driver.open(taskId, atLeast), (journal) =>
          Effect.map(openAll(taskId, 0, journal.records), (records) => ({
            ...withSealing(taskId, journal),
            records
          }))),
      read: (taskId, from) =>
        Effect.flatMap(driver.read(taskId, from), (records) =>
          openAll(taskId, from, records)),
      list: (query) => Stream.mapEffect(driver.list(query), openSummary),
      send: (taskId, message) =>
        Effect.flatMap(seal("mail", taskId, 0, message), (sealed) => driver.send(taskId, sealed)),
      receive: (taskId) =>
        Effect.flatMap(driver.receive(taskId), (letters) =>
          Effect.forEach(letters, ({ id, message }) =>
            open("mail", taskId, 0, message).pipe(
              Effect.map((text): ReadonlyArray<Letter> => [{ id, message: text }]),
              Effect.catchAll((error) =>
                Effect.as(leaveOut(taskId, id, error), [])
              )
            ))).pipe(Effect.map((letters) =>
              letters.flat()
            ))
    }
  })
