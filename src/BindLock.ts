/**
 * The service that binds a task to one engine at a time: liveness and mutual exclusion. What is stored is safe without
 * it, because the journal itself refuses a stale writer; the lock keeps two engines from doing the same work.
 *
 * @since 0.1.0
 */

import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { Driver, FileSystemOptions } from "./BindLock/Driver.ts"
import * as files from "./BindLock/FileSystem.ts"
import * as memory from "./BindLock/Memory.ts"
import type { BindLockError } from "./CheckMateError.ts"

export type { Binding, Driver, FileSystemOptions, Holder } from "./BindLock/Driver.ts"

/**
 * The service that binds tasks.
 *
 * @since 0.1.0
 * @category services
 */
export class BindLock extends Context.Tag("checkmate/BindLock")<BindLock, Driver>() {}

/**
 * A lock within one process: for tests, and with stores that only one process uses.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<BindLock> = Layer.effect(BindLock, memory.make)

/**
 * A lock in a directory that all engines share, which is created where it does not exist. A holder killed on this
 * machine is taken over at once; one that is frozen, on another machine, or in a container whose process ids are not
 * ours, after the lease.
 *
 * It needs of the file system: hard links that are made exclusively or not at all, link counts that are never answered
 * from a cache, renames that replace in one step, and one clock for all time stamps. Local file systems do all that. A
 * network file system has to be mounted so that it does (NFS: version 4, `noac`), and none has been tried.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFileSystem = (
  directory: string,
  options?: FileSystemOptions
): Layer.Layer<BindLock, BindLockError, FileSystem.FileSystem | Path.Path> =>
  Layer.scoped(BindLock, files.make(directory, options))
