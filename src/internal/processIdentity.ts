/**
 * Which process this is, and whether another one is dead, as far as Linux tells through files. Elsewhere nothing is
 * known, and nobody is provably dead.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { isNotFound } from "./files.ts"

/** A process, unambiguous over restarts of itself and of its machine. */
export const ProcessIdentity = Schema.Struct({
  /** The machine's boot id. */
  boot: Schema.String,
  /** The process-id namespace; ids of another one mean nothing here. */
  namespace: Schema.String,
  pid: Schema.String,
  /** In clock ticks since boot: tells a process from an earlier one of the same id. */
  startTime: Schema.String
})

export type ProcessIdentity = typeof ProcessIdentity.Type

/** Fields of /proc/<pid>/stat behind the command name, which may itself hold spaces and parentheses. See proc(5). */
const statFields = (stat: string): ReadonlyArray<string> => stat.slice(stat.lastIndexOf(")") + 2).split(" ")
const state = 0
const startTime = 19

export const self = (fs: FileSystem.FileSystem): Effect.Effect<Option.Option<ProcessIdentity>> =>
  Effect.option(Effect.gen(function*() {
    const stat = yield* fs.readFileString("/proc/self/stat")
    const start = statFields(stat)[startTime]
    if (start === undefined) return yield* Effect.fail("no start time")
    return {
      boot: (yield* fs.readFileString("/proc/sys/kernel/random/boot_id")).trim(),
      namespace: yield* fs.readLink("/proc/self/ns/pid"),
      pid: stat.slice(0, stat.indexOf(" ")),
      startTime: start
    }
  }))

/** The name of this machine, for people. */
export const hostName = (fs: FileSystem.FileSystem): Effect.Effect<string> =>
  Effect.map(
    Effect.option(fs.readFileString("/proc/sys/kernel/hostname")),
    Option.match({ onNone: () => "this machine", onSome: (name) => name.trim() })
  )

/** Whether processes of others are to be seen here: there is a first one always, and /proc can be made to hide it. */
const othersAreSeen = (fs: FileSystem.FileSystem): Effect.Effect<boolean> =>
  Effect.orElseSucceed(fs.exists("/proc/1/stat"), () => false)

/**
 * Alive or dead where that can be told from here, none where it cannot. Dead is what is not there: what could not be read,
 * for want of file handles for instance, tells nothing.
 */
export const isAlive = (
  fs: FileSystem.FileSystem,
  me: Option.Option<ProcessIdentity>,
  other: ProcessIdentity | null
): Effect.Effect<Option.Option<boolean>> => {
  if (Option.isNone(me) || other === null || me.value.boot !== other.boot || me.value.namespace !== other.namespace) {
    return Effect.succeed(Option.none())
  }
  return Effect.matchEffect(fs.readFileString(`/proc/${other.pid}/stat`), {
    onFailure: (error) =>
      isNotFound(error)
        ? Effect.map(othersAreSeen(fs), (seen) => seen ? Option.some(false) : Option.none())
        : Effect.succeedNone,
    onSuccess: (stat) => {
      const fields = statFields(stat)
      return Effect.succeedSome(
        fields[startTime] === other.startTime && fields[state] !== "Z" && fields[state] !== "X"
      )
    }
  })
}
