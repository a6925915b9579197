/**
 * A lock in a directory: `directory/locks/<task id>!<number>`, one file for each claim.
 *
 * A claim is the exclusive creation of the next number's file. The claimant then looks again: it holds the task only
 * if every other claim there is one it found dead. Whoever creates looks afterwards, so of two that overlap at least
 * one sees the other. A holder lengthens its file by a byte as a sign of life, and has lost the task once the file is
 * not its own any more. A claim is dead if its process is provably gone (same boot, same process-id namespace, no
 * process of that id and start time), or if it stayed silent for the lease, by the file system's own clock, and then
 * for two more signs' time by ours.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { BindLockError, TaskBoundError } from "../CheckMateError.ts"
import { alreadyExists, entries, isNotFound, nonce, problemOf } from "../internal/files.ts"
import * as Identity from "../internal/processIdentity.ts"
import type { Binding, Driver, FileSystemOptions, Holder } from "./Driver.ts"

const Claim = Schema.parseJson(Schema.Struct({
  nonce: Schema.String,
  name: Schema.String,
  since: Schema.DateTimeUtc,
  process: Schema.NullOr(Identity.ProcessIdentity)
}))
type Claim = typeof Claim.Type

const decodeClaim = Schema.decodeOption(Claim)
const encodeClaim = Schema.encodeSync(Claim)

/** A claim found in the directory. `claim` is none while its file is being written. */
interface Found {
  readonly file: string
  readonly number: number
  readonly claim: Option.Option<Claim>
  readonly size: number
  readonly modified: Option.Option<Date>
}

const signsPerLease = 5

/**
 * The lock over a directory, which is created where it does not exist.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  directory: string,
  options: FileSystemOptions = {}
): Effect.Effect<Driver, BindLockError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const locks = path.join(path.resolve(directory), "locks")
    const lease = Duration.max(Option.getOrElse(Duration.decodeUnknown(options.lease ?? "10 seconds"), () => Duration.zero), "1 second")
    const beat = Duration.times(lease, 1 / signsPerLease)
    const me = yield* Identity.self(fs)
    const host = yield* Identity.hostName(fs)
    const name = Option.match(me, { onNone: () => host, onSome: ({ pid }) => `process ${pid} on ${host}` })

    const failure = (operation: string, taskId: string, location: string) => (error: Parameters<typeof problemOf>[0]) =>
      new BindLockError({ operation, taskId, location, problem: problemOf(error), cause: error })

    yield* Effect.mapError(fs.makeDirectory(locks, { recursive: true }), failure("prepare to bind", "*", locks))

    const fileOf = (taskId: string, number: number): string => path.join(locks, `${taskId}!${number}`)

    const look = (file: string, number: number) =>
      Effect.gen(function*() {
        const text = yield* fs.readFileString(file)
        const info = yield* fs.stat(file)
        return Option.some<Found>({
          file,
          number,
          claim: decodeClaim(text.trimEnd()),
          size: Number(info.size),
          modified: info.mtime
        })
      }).pipe(Effect.catchIf(isNotFound, () => Effect.succeed(Option.none<Found>())))

    const claimsOf = (taskId: string, except?: number): Effect.Effect<ReadonlyArray<Found>, BindLockError> =>
      entries(fs, locks).pipe(
        Effect.map((names) =>
          names.filter((entry) => entry.startsWith(`${taskId}!`)).map((entry) => Number(entry.slice(taskId.length + 1)))
        ),
        Effect.flatMap((numbers) =>
          Effect.forEach(numbers.filter((number) => number !== except), (number) => look(fileOf(taskId, number), number))
        ),
        Effect.map((found) => found.flatMap(Option.toArray)),
        Effect.mapError(failure("look for who holds", taskId, locks))
      )

    /** The file system's own time, which is also what it stamps the claims with. */
    const now = (taskId: string): Effect.Effect<number, BindLockError> =>
      Effect.gen(function*() {
        const probe = path.join(locks, `.now-${yield* nonce}`)
        yield* fs.writeFileString(probe, "", { flag: "wx" })
        const info = yield* fs.stat(probe)
        yield* fs.remove(probe)
        return Option.match(info.mtime, { onNone: () => 0, onSome: (time) => time.getTime() })
      }).pipe(Effect.mapError(failure("read the clock for", taskId, locks)))

    const looksSilent = (taskId: string, found: Found): Effect.Effect<boolean, BindLockError> =>
      Option.match(found.modified, {
        onNone: () => Effect.succeed(false),
        onSome: (modified) =>
          Effect.map(now(taskId), (time) => time - modified.getTime() > Duration.toMillis(lease))
      })

    /** Whether a claim's holder is dead. A silent one is watched for two signs' time before it is given up. */
    const isDead = (taskId: string, found: Found): Effect.Effect<boolean, BindLockError> =>
      Effect.gen(function*() {
        const process = Option.match(found.claim, { onNone: () => null, onSome: (claim) => claim.process })
        const alive = yield* Identity.isAlive(fs, me, process)
        if (Option.isSome(alive) && !alive.value) return true
        if (!(yield* looksSilent(taskId, found))) return false
        yield* Effect.sleep(Duration.times(beat, 2))
        const again = yield* Effect.mapError(look(found.file, found.number), failure("look for who holds", taskId, found.file))
        return Option.isNone(again) || again.value.size === found.size
      })

    const holderOf = (found: Found): Holder =>
      Option.match(found.claim, {
        onNone: () => ({ name: "an engine that is just binding it", since: DateTime.unsafeMake(0) }),
        onSome: (claim) => ({ name: claim.name, since: claim.since })
      })

    const bound = (taskId: string, found: Found) => {
      const holder = holderOf(found)
      return new TaskBoundError({ taskId, holder: holder.name, since: holder.since })
    }

    /** Removes a dead claim, unless its name has been claimed anew meanwhile. */
    const bury = (taskId: string, found: Found) =>
      Effect.flatMap(look(found.file, found.number), (current) =>
        Option.isSome(current) && nonceOf(current.value) === nonceOf(found) ? fs.remove(found.file) : Effect.void).pipe(
          Effect.catchIf(isNotFound, () => Effect.void),
          Effect.mapError(failure("take over", taskId, found.file))
        )

    /** One try to claim: the claim's file and its open handle, or none where another engine was in the way. */
    const claim = (taskId: string): Effect.Effect<
      Option.Option<{ readonly file: string; readonly handle: FileSystem.File; readonly claim: Claim }>,
      BindLockError | TaskBoundError,
      Scope.Scope
    > =>
      Effect.gen(function*() {
        const before = yield* claimsOf(taskId)
        const dead = new Set<string>()
        for (const found of before) {
          if (!(yield* isDead(taskId, found))) return yield* bound(taskId, found)
          dead.add(`${found.number} ${nonceOf(found)}`)
        }
        const number = before.reduce((highest, found) => Math.max(highest, found.number), 0) + 1
        const file = fileOf(taskId, number)
        const mine: Claim = { nonce: yield* nonce, name, since: yield* DateTime.now, process: Option.getOrNull(me) }
        const handle = yield* create(taskId, file, mine)
        if (Option.isNone(handle)) return Option.none()
        const after = yield* claimsOf(taskId, number)
        if (after.some((found) => !dead.has(`${found.number} ${nonceOf(found)}`))) {
          yield* Effect.ignore(withdraw(file, mine))
          return Option.none()
        }
        for (const found of before) yield* bury(taskId, found)
        return Option.some({ file, handle: handle.value, claim: mine })
      })

    /** Creates a claim's file for the length of the Scope; none where another engine was first. */
    const create = (taskId: string, file: string, mine: Claim) =>
      fs.open(file, { flag: "ax" }).pipe(
        Effect.tap((handle) =>
          handle.writeAll(new TextEncoder().encode(encodeClaim(mine))).pipe(
            Effect.tapError(() => Effect.ignore(fs.remove(file))),
            Effect.zipRight(Effect.addFinalizer(() => Effect.ignore(withdraw(file, mine))))
          )
        ),
        Effect.map(Option.some),
        Effect.catchIf(alreadyExists, () => Effect.succeed(Option.none<FileSystem.File>())),
        Effect.mapError(failure("bind", taskId, file)),
        Effect.uninterruptible
      )

    /** Whether a claim's file still holds this claim. */
    const isMine = (file: string, mine: Claim) =>
      fs.readFileString(file).pipe(
        Effect.map((text) => Option.exists(decodeClaim(text.trimEnd()), (claim) => claim.nonce === mine.nonce)),
        Effect.catchIf(isNotFound, () => Effect.succeed(false))
      )

    const withdraw = (file: string, mine: Claim) =>
      Effect.flatMap(isMine(file, mine), (own) => own ? fs.remove(file) : Effect.void)

    /** Gives a sign of life at every beat, until the claim is another's or cannot be reached for a whole lease. */
    const live = (held: { readonly file: string; readonly handle: FileSystem.File; readonly claim: Claim }) =>
      Effect.gen(function*() {
        let seen = yield* Clock.currentTimeMillis
        while (true) {
          yield* Effect.sleep(beat)
          const own = yield* Effect.either(isMine(held.file, held.claim))
          const time = yield* Clock.currentTimeMillis
          if (own._tag === "Right") {
            if (!own.right) return "another engine took it over, because this one gave no sign of life in time"
            seen = time
            yield* Effect.ignore(held.handle.writeAll(sign))
          } else if (time - seen > Duration.toMillis(lease)) {
            return `its claim ${held.file} cannot be reached: ${problemOf(own.left)}`
          }
        }
      })

    const acquire = (taskId: string): Effect.Effect<Binding, TaskBoundError | BindLockError, Scope.Scope> =>
      Effect.gen(function*() {
        let held = yield* claim(taskId)
        while (Option.isNone(held)) {
          // Whoever was in the way has either bound the task by now, or backed off as this engine did.
          yield* Effect.sleep(Duration.millis(yield* Random.nextIntBetween(5, 50)))
          held = yield* claim(taskId)
        }
        const lost = yield* Deferred.make<string>()
        yield* Effect.forkScoped(Effect.flatMap(live(held.value), (reason) => Deferred.succeed(lost, reason)))
        return { holder: { name, since: held.value.claim.since }, lost: Deferred.await(lost) }
      })

    return {
      acquire,
      holder: (taskId) =>
        Effect.gen(function*() {
          for (const found of yield* claimsOf(taskId)) {
            const process = Option.match(found.claim, { onNone: () => null, onSome: ({ process }) => process })
            const alive = yield* Identity.isAlive(fs, me, process)
            const gone = Option.getOrElse(Option.map(alive, (living) => !living), () => false)
              || (yield* looksSilent(taskId, found))
            if (!gone) return Option.some(holderOf(found))
          }
          return Option.none()
        })
    }
  })

const sign = new TextEncoder().encode("\n")

const nonceOf = (found: Found): string =>
  Option.match(found.claim, { onNone: () => "", onSome: (claim) => claim.nonce })
