/** Pairs of tenants that each break one rule, under that rule's name: two memory drivers with one leak between them. */
import { Effect, Stream } from "effect"
import type { TaskIO } from "effect-checkmate"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
import type { TenantContract } from "effect-checkmate/testing"

type Tenants = Effect.Effect<TenantContract.Tenants>

/** Two tenants, the second of which does some things otherwise. */
export const tenantsWith = (
  change: (one: TaskIO.Encoded, two: TaskIO.Encoded) => Partial<TaskIO.Encoded>
): Tenants =>
  Effect.map(Effect.all([MemoryDriver.make, MemoryDriver.make]), ([one, two]) => ({
    one,
    two: { ...two, ...change(one, two) }
  }))

/** Pairs by the rule of the Tenant contract that each one breaks. */
export const brokenTenants: Readonly<Record<string, Tenants>> = {
  "a task of one tenant is none that the other can read": tenantsWith((one, two) => ({
    read: (taskId, from) =>
      Effect.flatMap(
        two.read(taskId, 0),
        (own) => own.length > 0 ? two.read(taskId, from) : one.read(taskId, from)
      )
  })),

  "an id that one tenant has used is a new one where the other opens it": tenantsWith((one, two) => ({
    open: (taskId) =>
      Effect.flatMap(two.open(taskId), (journal) =>
        Effect.map(Effect.orDie(one.read(taskId, 0)), (records) => ({
          ...journal,
          records: journal.records.length > 0 ? journal.records : records
        })))
  })),

  // Remembers what was read first under an id, whoever read it.
  "the same task id in both is two tasks, whatever it is called": tenantsWith((one, two) => ({
    read: (taskId, from) =>
      Effect.flatMap(
        Effect.all([one.read(taskId, 0), two.read(taskId, 0)]),
        ([first, own]) =>
          Effect.succeed((first.length > 1 && own.length > 1 && taskId === "head" ? first : own).slice(from))
      )
  })),

  "a list shows a tenant's own tasks, and no others": tenantsWith((one, two) => ({
    list: (query) =>
      Stream.concat(
        two.list(query),
        Stream.filter(one.list(query), ({ taskId }) => taskId === "a")
      )
  })),

  // Looks tasks up by their status for all tenants.
  "a list with a query shows no tasks of the other tenant": tenantsWith((one, two) => ({
    list: (query) => query.status === undefined ? two.list(query) : Stream.concat(two.list(query), one.list(query))
  })),

  "removing what only the other tenant has is nothing": tenantsWith((one, two) => ({
    remove: (taskId) =>
      Effect.flatMap(
        Effect.orDie(two.read(taskId, 0)),
        (records) => records.length > 0 ? two.remove(taskId) : one.remove(taskId)
      )
  })),

  "a task that one tenant removes stays with the other": tenantsWith((one, two) => ({
    remove: (taskId) =>
      Effect.gen(function*() {
        const own = yield* Effect.orDie(two.read(taskId, 0))
        yield* two.remove(taskId)
        if (own.length === 0) return
        const letters = yield* one.receive(taskId)
        yield* one.remove(taskId)
        for (const { message } of letters) yield* one.send(taskId, message)
      })
  })),

  "a claim of one tenant refuses no writer of the other": tenantsWith((one, two) => ({
    open: (taskId) => Effect.zipRight(one.open(taskId), two.open(taskId))
  })),

  "a message is for a task of its own tenant only": tenantsWith((one, two) => ({
    receive: (taskId) =>
      Effect.flatMap(two.receive(taskId), (own) => own.length > 0 ? Effect.succeed(own) : one.receive(taskId))
  })),

  "the tasks with mail are a tenant's own": tenantsWith((one, two) => ({
    waiting: Effect.map(Effect.all([one.waiting, two.waiting]), (both) => [...new Set(both.flat())])
  })),

  "acknowledging a letter takes none from the other tenant": tenantsWith((one, two) => ({
    acknowledge: (taskId, letters) =>
      Effect.zipRight(one.acknowledge(taskId, letters), two.acknowledge(taskId, letters))
  })),

  "removing a task takes no mail from the other tenant": tenantsWith((one, two) => ({
    remove: (taskId) =>
      Effect.gen(function*() {
        const own = yield* Effect.orDie(two.read(taskId, 0))
        yield* two.remove(taskId)
        const letters = own.length === 0 ? [] : yield* one.receive(taskId)
        yield* one.acknowledge(taskId, letters.map(({ id }) => id))
      })
  })),

  "arrivals tell of a tenant's own mail only": tenantsWith((one, two) => ({
    arrivals: Stream.merge(one.arrivals ?? Stream.empty, two.arrivals ?? Stream.empty)
  }))
}
