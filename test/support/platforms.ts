/** What files are reached by way of. */
import { NodeContext } from "@effect/platform-node"
import { Layer } from "effect"
import * as LocalDisk from "effect-checkmate/LocalDisk"

export const localDisk = Layer.provideMerge(LocalDisk.layer, NodeContext.layer)

export const platforms = [["files", NodeContext.layer], ["files, by way of LocalDisk", localDisk]] as const
