/**
 * A shortcut to a disk of this machine, for processes whose work the tasks are; on Node and Bun.
 *
 * The platform's `FileSystem` does everything by way of other threads, and for the little that a journal needs, the way there
 * and back takes about as long as the work. With this layer, as long as tasks are written one at a time, the process asks for
 * it directly, and waits: for most of it some microseconds, and for the disk once a checkpoint, in which time nothing
 * else happens in this process; everything else has its turn every ten milliseconds. As soon as several tasks are being
 * written, everything goes by way of other threads again, which is faster then, an append all at once.
 *
 * Not for a directory on a network file system, nor for a process that must answer others within a millisecond.
 *
 * ```ts
 * import { NodeContext } from "@effect/platform-node"
 * import { CheckMateEngine } from "effect-checkmate"
 * import * as LocalDisk from "effect-checkmate/LocalDisk"
 *
 * const engine = CheckMateEngine.layerFileSystem(".checkmate").pipe(
 *   Layer.provide(LocalDisk.layer),
 *   Layer.provide(NodeContext.layer)
 * )
 * ```
 *
 * @since 0.1.0
 */

/// <reference types="node" />
import { type PlatformError, SystemError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as NFS from "node:fs"
import { dirname } from "node:path"
import { breathing } from "./internal/eventLoop.ts"
import { appendsBy, namesOf } from "./internal/files.ts"

/** More than this is read by way of another thread, as the disk may have to be asked for it. */
const readAtOnce = 1_048_576

const over = (beneath: FileSystem.FileSystem): FileSystem.FileSystem => {
  /** The files that are open and have been synced: as many as there are tasks that are being written. */
  const written = new Set<number>()
  const breathe = breathing()

  /** Asks for it directly, if that is the faster way. Where it fails, the file system beneath says what is wrong. */
  const direct = <A, E>(ask: () => A, otherwise: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => written.size > 1 ? otherwise : breathe(Effect.orElse(Effect.try(ask), () => otherwise)))

  /** Unlike all else, never asked for again: what was not written may be taken for written the second time. */
  const syncDirectly = (descriptor: number): Effect.Effect<void, PlatformError> =>
    Effect.try({
      try: () => NFS.fdatasyncSync(descriptor),
      catch: (cause) => systemError("Unknown", "sync", descriptor, String(cause), cause)
    })

  const appended = (file: FileSystem.File): FileSystem.File => {
    const writeAll = (buffer: Uint8Array): Effect.Effect<void, PlatformError> =>
      Effect.suspend(() => {
        let length = 0
        return direct(
          () => {
            while (length < buffer.length) length += NFS.writeSync(file.fd, buffer, length)
          },
          Effect.suspend(() => file.writeAll(buffer.subarray(length)))
        )
      })
    const append = (buffer: Uint8Array): Effect.Effect<number, PlatformError> =>
      Effect.suspend(() => {
        written.add(file.fd)
        return written.size > 1
          ? appendElsewhere(file.fd, buffer)
          : Effect.zipRight(Effect.zipRight(writeAll(buffer), syncDirectly(file.fd)), namesOfOpen(file.fd))
      })
    return appendsBy({
      [FileSystem.FileTypeId]: FileSystem.FileTypeId,
      fd: file.fd,
      stat: direct(() => infoOf(NFS.fstatSync(file.fd)), file.stat),
      sync: Effect.suspend(() => {
        written.add(file.fd)
        return written.size > 1 ? file.sync : syncDirectly(file.fd)
      }),
      writeAll,
      write: (buffer) => file.write(buffer),
      seek: (offset, from) => file.seek(offset, from),
      read: (buffer) => file.read(buffer),
      readAlloc: (size) => file.readAlloc(size),
      truncate: (length) => file.truncate(length)
    }, append)
  }

  return FileSystem.make({
    ...beneath,
    open: (path, options) => {
      const opened = beneath.open(path, options)
      // What is only appended to has no position to be kept.
      if (options?.flag !== "a" && options?.flag !== "ax") return opened
      return Effect.flatMap(Effect.scope, (scope) =>
        Effect.tap(
          Effect.map(opened, appended),
          // Not Effect's own, which compares all FiberRefs and takes as long as to open the file.
          ({ fd }) => Scope.addFinalizer(scope, Effect.sync(() => written.delete(fd)))
        ))
    },
    stat: (path) => direct(() => infoOf(NFS.statSync(path)), beneath.stat(path)),
    link: (from, to) => direct(() => NFS.linkSync(from, to), beneath.link(from, to)),
    rename: (from, to) => direct(() => NFS.renameSync(from, to), beneath.rename(from, to)),
    remove: (path, options) => direct(() => NFS.unlinkSync(path), beneath.remove(path, options)),
    readFile: (path) =>
      Effect.flatten(direct((): Effect.Effect<Uint8Array, PlatformError> => {
        const stats = NFS.statSync(path, { throwIfNoEntry: false })
        if (stats === undefined) {
          return isDirectory(dirname(path))
            ? Effect.fail(systemError("NotFound", "readFile", path, "there is no such file"))
            : beneath.readFile(path)
        }
        return stats.size > readAtOnce ? beneath.readFile(path) : Effect.succeed(NFS.readFileSync(path))
      }, Effect.succeed(beneath.readFile(path))))
  })
}

/** Newer Nodes do not tell a name beneath a file from one that is not there. */
const isDirectory = (path: string): boolean => NFS.statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

const namesIn = ({ mode, nlink }: NFS.Stats): number => namesOf(mode, nlink)

/** How many names a file that is open has. */
const namesOfOpen = (descriptor: number): Effect.Effect<number, PlatformError> =>
  Effect.try({
    try: () => namesIn(NFS.fstatSync(descriptor)),
    catch: (cause) => systemError("Unknown", "stat", descriptor, String(cause), cause)
  })

/** Writes, syncs and looks in another thread, and comes back once: each way back costs this one more than the work itself. */
const appendElsewhere = (descriptor: number, buffer: Uint8Array): Effect.Effect<number, PlatformError> =>
  Effect.async((resume) => {
    const failed = (method: string, cause: Error) =>
      resume(systemError("Unknown", method, descriptor, cause.message, cause))
    const look = () =>
      NFS.fstat(
        descriptor,
        (cause, stats) => cause === null ? resume(Effect.succeed(namesIn(stats))) : failed("stat", cause)
      )
    const sync = () => NFS.fdatasync(descriptor, (cause) => cause === null ? look() : failed("sync", cause))
    const write = (from: number): void =>
      NFS.write(descriptor, buffer, from, buffer.length - from, null, (cause, length) => {
        if (cause !== null) failed("write", cause)
        else if (from + length < buffer.length) write(from + length)
        else sync()
      })
    write(0)
  })

/** Its parts are not looked at again: it is told whenever a task begins, as that begins with a look whether it is there. */
const systemError = (
  reason: SystemError["reason"],
  method: string,
  pathOrDescriptor: string | number,
  description: string,
  cause?: unknown
): PlatformError =>
  new SystemError({ reason, module: "FileSystem", method, pathOrDescriptor, description, cause }, {
    disableValidation: true
  })

const typeOf = (stats: NFS.Stats): FileSystem.File.Type => {
  if (stats.isFile()) return "File"
  if (stats.isDirectory()) return "Directory"
  if (stats.isBlockDevice()) return "BlockDevice"
  if (stats.isCharacterDevice()) return "CharacterDevice"
  if (stats.isFIFO()) return "FIFO"
  return stats.isSocket() ? "Socket" : "Unknown"
}

const infoOf = (stats: NFS.Stats): FileSystem.File.Info => ({
  type: typeOf(stats),
  mtime: Option.some(stats.mtime),
  atime: Option.some(stats.atime),
  birthtime: Option.some(stats.birthtime),
  dev: stats.dev,
  rdev: Option.some(stats.rdev),
  ino: Option.some(stats.ino),
  mode: stats.mode,
  nlink: Option.some(stats.nlink),
  uid: Option.some(stats.uid),
  gid: Option.some(stats.gid),
  size: FileSystem.Size(stats.size),
  blksize: Option.some(FileSystem.Size(stats.blksize)),
  blocks: Option.some(stats.blocks)
})

/**
 * Puts this in the place of the platform's `FileSystem`, which it is given for whatever it does not do itself.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<FileSystem.FileSystem, never, FileSystem.FileSystem> = Layer.effect(
  FileSystem.FileSystem,
  Effect.map(FileSystem.FileSystem, over)
)
