/** The few file operations TaskIO and BindLock share, over @effect/platform's FileSystem. */
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { BindLockError, TaskIOError } from "../CheckMateError.ts"
import { uninterruptible } from "./region.ts"

export const isNotFound = (error: PlatformError): boolean => error._tag === "SystemError" && error.reason === "NotFound"

export const alreadyExists = (error: PlatformError): boolean =>
  error._tag === "SystemError" && error.reason === "AlreadyExists"

/** A setting that is missing often leaves an empty name, and a store would be wherever its process is then. */
export const emptyName = `the directory's name is empty; say "." if it is to be the one that the process is in`

/** What a file operation failed with, for people. */
export const problemOf = (error: PlatformError): string => error.description ?? error.message

/** Turns a file operation's failure into a store's. */
export const storeError =
  (operation: string, location: string, taskId?: string) => (error: PlatformError): TaskIOError =>
    new TaskIOError({
      operation,
      taskId,
      location,
      problem: problemOf(error),
      cause: error
    })

/** Turns a file operation's failure into a lock's. */
export const lockError =
  (operation: string, location: string, taskId: string) => (error: PlatformError): BindLockError =>
    new BindLockError({ operation, taskId, location, problem: problemOf(error), cause: error })

/**
 * A write to an open file, waited for whoever is interrupted: it goes on in another thread all the same, and where the file
 * was closed meanwhile its number may be another file's, which would be written to.
 */
export const written: <A, E, R>(write: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = uninterruptible

/** Makes what stands in a file durable, whoever wrote it. */
export const syncFile = (fs: FileSystem.FileSystem, file: string): Effect.Effect<void, PlatformError> =>
  Effect.scoped(Effect.flatMap(fs.open(file, { flag: "r+" }), (handle) => handle.sync))

/** Makes a directory's entries durable. */
export const syncDirectory = (fs: FileSystem.FileSystem, directory: string): Effect.Effect<void, PlatformError> =>
  Effect.scoped(Effect.flatMap(fs.open(directory, { flag: "r" }), (handle) => handle.sync))

/** The names in a directory; none where it does not exist. */
export const entries = (
  fs: FileSystem.FileSystem,
  directory: string
): Effect.Effect<ReadonlyArray<string>, PlatformError> =>
  Effect.catchIf(fs.readDirectory(directory), isNotFound, () => Effect.succeed([]))

/** Removes a file, if it is there. */
export const removed = (fs: FileSystem.FileSystem, file: string): Effect.Effect<void, TaskIOError> =>
  fs.remove(file).pipe(
    Effect.catchIf(isNotFound, () => Effect.void),
    Effect.mapError(storeError("remove", file))
  )

/**
 * Set in the mode of a file that is being removed (the sticky bit, which nothing else is made of in a file): its names go one
 * after the other, and where that is cut off it has one again, as a file has that is written to.
 */
export const shutMode = 0o1000

/** Whether a file of that mode is being removed. */
export const isShut = (mode: number): boolean => (mode & shutMode) !== 0

/** How many names a file has; none where it is being removed. */
export const namesOf = (mode: number, names: number): number => isShut(mode) ? 0 : names

/** Writes all to the end of a file, syncs it, and tells how many names the file has after that: see {@link namesOf}. */
type Append = (bytes: Uint8Array) => Effect.Effect<number, PlatformError>

/** Files that append as one step. By the file itself, so that one that was wrapped by somebody is none of them. */
const appends = new WeakMap<FileSystem.File, Append>()

/** Says that a file can append as one step. */
export const appendsBy = (file: FileSystem.File, append: Append): FileSystem.File => {
  appends.set(file, append)
  return file
}

/** The same of any file, which is waited for as {@link written} is. */
export const appendTo = (file: FileSystem.File): Append => {
  const append = appends.get(file)
  if (append !== undefined) return (bytes) => written(append(bytes))
  const names = Effect.map(file.stat, ({ mode, nlink }) => namesOf(mode, Option.getOrElse(nlink, () => 1)))
  return (bytes) => Effect.zipRight(Effect.zipRight(written(file.writeAll(bytes)), file.sync), names)
}
