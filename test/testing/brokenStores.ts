/** Stores that each break one rule, under that rule's name: the memory driver, with one thing done wrong. */
import { Effect, Stream } from "effect"
import type { TaskIO } from "effect-checkmate"
import { StaleWriterError, TaskIOError } from "effect-checkmate/CheckMateError"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"

type Store = Effect.Effect<TaskIO.Encoded>
type Append = TaskIO.EncodedJournal["append"]
type Open = TaskIO.Encoded["open"]

const storeWith = (change: (memory: TaskIO.Encoded) => Partial<TaskIO.Encoded>): Store =>
  Effect.map(MemoryDriver.make, (memory) => ({ ...memory, ...change(memory) }))

const openWith = (
  memory: TaskIO.Encoded,
  change: (journal: TaskIO.EncodedJournal, taskId: string) => Partial<TaskIO.EncodedJournal>
): Open =>
(taskId) => Effect.map(memory.open(taskId), (journal) => ({ ...journal, ...change(journal, taskId) }))

const appendWith = (change: (append: Append, taskId: string) => Append): Store =>
  storeWith((memory) => ({ open: openWith(memory, ({ append }, taskId) => ({ append: change(append, taskId) })) }))

/** What the memory driver refuses an append for, as its refusals say it. */
type Because = "has claimed it" | "it holds" | "was removed"

/** Does something else where an append is refused. */
const refuseWith = (
  memory: TaskIO.Encoded,
  because: Because,
  instead: (refused: StaleWriterError, ...args: Parameters<Append>) => ReturnType<Append>
): Open =>
  openWith(memory, ({ append }) => ({
    append: (...args) =>
      Effect.catchTag(append(...args), "StaleWriterError", (error) =>
        error.problem.includes(because) ? instead(error, ...args) : Effect.fail(error))
  }))

const refusalsWith = (because: Because, instead: Parameters<typeof refuseWith>[2]): Store =>
  storeWith((memory) => ({ open: refuseWith(memory, because, instead) }))

/** Refuses an append, and yet writes its records. */
const refusedRecordsShow = (because: Because): Store =>
  storeWith((memory) => {
    const shown = new Map<string, ReadonlyArray<string>>()
    return {
      open: refuseWith(memory, because, (error, position, records) => {
        if (position > 0 && error.epoch === 1) shown.set(error.taskId, records)
        return Effect.fail(error)
      }),
      read: (taskId, from) => Effect.map(memory.read(taskId, from), (found) => [...found, ...shown.get(taskId) ?? []])
    }
  })

const refused = (operation: string, taskId: string, problem: string) =>
  Effect.fail(new TaskIOError({ operation, taskId, location: "memory", problem }))

const summaries =
  (change: (found: ReadonlyArray<TaskIO.EncodedSummary>) => ReadonlyArray<TaskIO.EncodedSummary>) =>
  (memory: TaskIO.Encoded): TaskIO.Encoded["list"] =>
  (query) => Stream.fromIterableEffect(Effect.map(Stream.runCollect(memory.list(query)), (found) => change([...found])))

const blank = (taskId: string): TaskIO.EncodedSummary => ({
  taskId,
  checkMate: "",
  status: "Running",
  succeeded: 0,
  stages: 0,
  tags: [],
  createdAt: "",
  updatedAt: ""
})

/** Lists a task that it heard of and that was not written to. */
const listsAll = (memory: TaskIO.Encoded, heardOf: ReadonlySet<string>) =>
  summaries((found) => [
    ...found,
    ...[...heardOf].filter((taskId) => found.every((summary) => summary.taskId !== taskId)).map(blank)
  ])(memory)

const replaceAll = (memory: TaskIO.Encoded, of: ReadonlyMap<string, TaskIO.EncodedSummary>) =>
  summaries((found) => found.map((summary) => of.get(summary.taskId) ?? summary))(memory)

const normal = (text: string) => text.normalize("NFC")

type Keep = (epochs: Map<string, number>, taskId: string, epoch: number) => unknown

/** Counts on from the epoch that is kept, once it is claimed or written under. */
const forgetsEpochs = (written: Keep, claimed: Keep): Store =>
  storeWith((memory) => {
    const epochs = new Map<string, number>()
    return {
      open: (taskId, atLeast = 0) =>
        Effect.map(memory.open(taskId), ({ append, ...journal }) => {
          const epoch = Math.max(journal.epoch, (epochs.get(taskId) ?? 0) + 1, atLeast)
          claimed(epochs, taskId, epoch)
          return {
            ...journal,
            epoch,
            append: (...args) => Effect.tap(append(...args), () => Effect.sync(() => written(epochs, taskId, epoch)))
          }
        })
    }
  })

/** Stores by the rule of the TaskIO contract that each one breaks. */
export const brokenStores: Readonly<Record<string, Store>> = {
  "a task that does not exist has no records, no summary, no mail, and removing it is nothing": storeWith((memory) => {
    const opened = new Set<string>()
    return {
      open: (taskId) => Effect.zipRight(Effect.sync(() => opened.add(taskId)), memory.open(taskId)),
      remove: (taskId) => opened.has(taskId) ? memory.remove(taskId) : refused("remove", taskId, "not found")
    }
  }),

  "a journal that was opened and not written to leaves no trace in lists": storeWith((memory) => {
    const opened = new Set<string>()
    return {
      open: (taskId) => Effect.zipRight(Effect.sync(() => opened.add(taskId)), memory.open(taskId)),
      list: listsAll(memory, opened),
      remove: (taskId) => Effect.zipRight(Effect.sync(() => opened.delete(taskId)), memory.remove(taskId))
    }
  }),

  // Of what its only writer wrote, all is returned.
  "records come back in order, whole, and from a position on": storeWith((memory) => {
    const shared = new Set<string>()
    return {
      open: openWith(memory, ({ records }, taskId) => {
        if (records.length > 0) shared.add(taskId)
        return {}
      }),
      read: (taskId, from) => memory.read(taskId, shared.has(taskId) ? from : 0)
    }
  }),

  // Counts from where the latest claim began.
  "records from a position on come back, whoever wrote them": storeWith((memory) => {
    const claimedAt = new Map<string, number>()
    return {
      open: openWith(memory, ({ records }, taskId) => {
        claimedAt.set(taskId, records.length)
        return {}
      }),
      read: (taskId, from) => memory.read(taskId, from === 0 ? 0 : from + (claimedAt.get(taskId) ?? 0))
    }
  }),

  // A replica, which learns what is written when a journal is opened or closed.
  "what was acknowledged can be read at once, without the journal being closed": storeWith((memory) => {
    const known = new Map<string, number>()
    const learn = (taskId: string) =>
      Effect.map(Effect.orDie(memory.read(taskId, 0)), ({ length }) => known.set(taskId, length))
    return {
      open: (taskId) => Effect.zipLeft(memory.open(taskId), Effect.acquireRelease(learn(taskId), () => learn(taskId))),
      read: (taskId, from) =>
        Effect.map(memory.read(taskId, 0), (records) => records.slice(0, known.get(taskId)).slice(from))
    }
  }),

  // Keeps what each claim wrote under its epoch, and reads that in the order of texts, in which 10 comes before 2.
  "a journal that was taken up a dozen times comes back in order": storeWith((memory) => {
    const epochs = new Map<string, ReadonlyArray<string>>()
    const epochOf = (taskId: string, position: number) => epochs.get(taskId)?.[position] ?? ""
    return {
      open: openWith(memory, ({ append, epoch }, taskId) => ({
        append: (position, records, summary) =>
          Effect.map(append(position, records, summary), () => {
            const before = epochs.get(taskId)?.slice(0, position) ?? []
            epochs.set(taskId, [...before, ...records.map(() => String(epoch))])
          })
      })),
      read: (taskId, from) =>
        Effect.map(
          memory.read(taskId, 0),
          (records) =>
            records.map((record, position) => ({ record, epoch: epochOf(taskId, position) }))
              .toSorted((left, right) => left.epoch < right.epoch ? -1 : left.epoch > right.epoch ? 1 : 0)
              .map(({ record }) => record)
              .slice(from)
        )
    }
  }),

  "opening again returns all that was acknowledged before": storeWith((memory) => {
    const claimedAt = new Map<string, number>()
    return {
      open: openWith(memory, ({ records }, taskId) => {
        const lastClaimAt = claimedAt.get(taskId) ?? 0
        claimedAt.set(taskId, records.length)
        return { records: records.slice(lastClaimAt) }
      })
    }
  }),

  // Counts the claims there are and those that wrote, not all there ever were.
  "each claim has a greater epoch than every earlier one": storeWith((memory) => {
    let last = 0
    return {
      open: (taskId, atLeast) =>
        Effect.gen(function*() {
          const { append, records } = yield* memory.open(taskId)
          const epoch = last = Math.max(last + 1, atLeast ?? 0)
          let wrote = atLeast !== undefined
          yield* Effect.addFinalizer(() => Effect.sync(() => last -= wrote ? 0 : 1))
          return {
            epoch,
            records,
            append: (...args) => Effect.tap(append(...args), () => Effect.sync(() => wrote = true))
          }
        })
    }
  }),

  // Tells the epoch that it was asked for, and does not keep it.
  "epochs that claims are asked for are less than those of the claims that follow": forgetsEpochs(
    (epochs, taskId) => epochs.set(taskId, 0),
    (epochs, taskId, epoch) => epochs.set(taskId, epoch)
  ),

  "an epoch that a claim was asked for is less than the next one's also where that claim wrote nothing": forgetsEpochs(
    (epochs, taskId, epoch) => epochs.set(taskId, epoch),
    () => {}
  ),

  // Takes a lock, and leaves it where it is interrupted.
  "a claim that is interrupted is in nobody's way": storeWith((memory) => {
    const locked = new Set<string>()
    return {
      open: (taskId) =>
        Effect.gen(function*() {
          if (locked.has(taskId)) return yield* refused("open", taskId, "it is locked")
          locked.add(taskId)
          yield* Effect.yieldNow()
          const journal = yield* memory.open(taskId)
          locked.delete(taskId)
          return journal
        }).pipe(Effect.retry({ while: () => Effect.as(Effect.yieldNow(), true), times: 200 }))
    }
  }),

  "an append at another position than the end is refused": refusalsWith(
    "it holds",
    (error) => error.epoch === 1 ? Effect.void : Effect.fail(error)
  ),

  "a journal that was opened again is appended to at its end only": storeWith((memory) => ({
    open: openWith(memory, ({ append, records: { length } }, taskId) => ({
      append: (position, records, summary) =>
        length !== 2 || position === 2
          ? append(position, records, summary)
          : Effect.flatMap(Effect.orDie(memory.read(taskId, 0)), (all) => append(all.length, records, summary))
    }))
  })),

  "an append that was tried at another position than the end changes nothing": refusedRecordsShow("it holds"),

  "an append that is interrupted is there as a whole or not at all": appendWith(
    (append) => (position, records, summary) =>
      Effect.forEach(
        records,
        (record, index) => Effect.zipRight(Effect.yieldNow(), append(position + index, [record], summary)),
        { discard: true }
      )
  ),

  "records of any text survive": appendWith((append) => (position, [first, ...rest], summary) =>
    append(position, [normal(first), ...rest.map(normal)], summary)
  ),

  "records of megabytes survive": appendWith((append, taskId) => (position, records, summary) =>
    records.some(({ length }) => length > 1_000_000)
      ? refused("append", taskId, "over 1 MB")
      : append(position, records, summary)
  ),

  "a journal of thousands of records comes back whole": storeWith((memory) => ({
    read: (taskId, from) => Effect.map(memory.read(taskId, from), (records) => records.slice(0, 1_000))
  })),

  // One buffer for all journals.
  "many tasks are written at once without mixing": storeWith((memory) => {
    let buffer: Parameters<Append>[1] = [""]
    return {
      open: openWith(memory, ({ append }) => ({
        append: (position, records, summary) =>
          Effect.suspend(() => {
            buffer = records
            return Effect.zipRight(Effect.yieldNow(), Effect.suspend(() => append(position, buffer, summary)))
          })
      }))
    }
  }),

  "a stale writer is refused as soon as another has opened, and stays refused": refusalsWith(
    "has claimed it",
    (error, position) => position === 0 ? Effect.fail(error) : Effect.void
  ),

  "a stale append leaves the journal as it was": refusedRecordsShow("has claimed it"),

  "a stale append leaves the list as it was": storeWith((memory) => {
    const last = new Map<string, TaskIO.EncodedSummary>()
    return {
      open: refuseWith(memory, "has claimed it", (error, _position, _records, summary) => {
        last.set(error.taskId, summary)
        return Effect.fail(error)
      }),
      list: replaceAll(memory, last)
    }
  }),

  "a writer that was overtaken before its first append is refused too": refusalsWith(
    "has claimed it",
    (error, position) => position === 0 && error.problem.includes("epoch 2 ") ? Effect.void : Effect.fail(error)
  ),

  "a stale writer that closes its journal leaves the newest one's claim": storeWith((memory) => {
    const released = new Set<string>()
    return {
      open: (taskId) =>
        Effect.gen(function*() {
          const { append, epoch, records } = yield* memory.open(taskId)
          released.delete(taskId)
          yield* Effect.addFinalizer(() => Effect.sync(() => released.add(taskId)))
          return {
            epoch,
            records,
            append: (...args) =>
              released.has(taskId)
                ? Effect.fail(new StaleWriterError({ taskId, epoch, problem: "its claim was released" }))
                : append(...args)
          }
        })
    }
  }),

  // Looks only at the claims that are open, and two that meet there take the same number.
  "of many that open at once each has its own epoch": storeWith((memory) => {
    const open = new Map<string, number>()
    const add = (taskId: string, number: number) =>
      Effect.sync(() => {
        const sum = (open.get(taskId) ?? 0) + number
        open.set(taskId, sum)
        return sum
      })
    return {
      open: (taskId) =>
        Effect.gen(function*() {
          const journal = yield* memory.open(taskId)
          const others = yield* Effect.acquireRelease(add(taskId, 1), () => add(taskId, -1))
          return { ...journal, epoch: others === 2 ? journal.epoch - 1 : journal.epoch }
        })
    }
  }),

  // Compares epochs as texts, so that 9 is greater than 12.
  "of many that open at once only the one of the greatest epoch writes": storeWith((memory) => {
    const claims = new Map<string, ReadonlyArray<TaskIO.EncodedJournal>>()
    return {
      open: openWith(memory, ({ append, epoch, records }, taskId) => {
        claims.set(taskId, [...claims.get(taskId) ?? [], { append, epoch, records }])
        return {
          append: (...args) => {
            const all = claims.get(taskId) ?? []
            const greatest = all.map((journal) => String(journal.epoch)).sort().at(-1)
            const newest = all.at(-1)
            return all.length < 10 || records.length > 0 || newest === undefined
              ? append(...args)
              : greatest === String(epoch)
              ? newest.append(...args)
              : Effect.fail(new StaleWriterError({ taskId, epoch, problem: `epoch ${greatest} has claimed it` }))
          }
        }
      })
    }
  }),

  // Finds no task that is another's.
  "a writer whose task was removed is refused": storeWith((memory) => ({
    open: refuseWith(
      memory,
      "was removed",
      (error, position) =>
        Effect.flatMap(
          Effect.orDie(memory.read(error.taskId, 0)),
          ({ length }) => position > 0 && length === 0 ? Effect.void : Effect.fail(error)
        )
    )
  })),

  // Tells writers by their epochs alone, which begin anew with the task.
  "a writer whose task was removed is refused also where the new task of that id was claimed as often": storeWith(
    (memory) => {
      const newest = new Map<string, TaskIO.EncodedJournal>()
      return {
        open: openWith(memory, (journal, taskId) => {
          newest.set(taskId, journal)
          return {
            append: (...args) => {
              const now = newest.get(taskId)
              return (now?.epoch === journal.epoch ? now : journal).append(...args)
            }
          }
        })
      }
    }
  ),

  // Finds nothing to remove, and leaves the claim.
  "a writer whose task was removed before its first append is refused too": storeWith((memory) => ({
    remove: (taskId) =>
      Effect.flatMap(
        Effect.all([memory.read(taskId, 0), memory.receive(taskId)]),
        ([records, letters]) => records.length + letters.length === 0 ? Effect.void : memory.remove(taskId)
      ).pipe(Effect.orDie)
  })),

  "a list shows the summary of each task's latest append": storeWith((memory) => ({
    open: openWith(memory, ({ append }) => {
      let first: TaskIO.EncodedSummary | undefined
      return {
        append: (position, records, summary) => {
          first ??= summary
          return append(position, records, first)
        }
      }
    })
  })),

  // Lists a task for each claim that wrote.
  "a task stands once in a list, however often it was taken up": storeWith((memory) => {
    const writers = new Map<string, Set<number>>()
    return {
      open: openWith(memory, ({ append, epoch }, taskId) => ({
        append: (...args) =>
          Effect.map(append(...args), () => void writers.set(taskId, new Set(writers.get(taskId)).add(epoch)))
      })),
      list: summaries((found) =>
        found.flatMap((summary) => Array.from({ length: writers.get(summary.taskId)?.size ?? 0 }, () => summary))
      )(memory)
    }
  }),

  // Its first page.
  "a list has every task, however many there are": storeWith((memory) => ({
    list: (query) => Stream.take(memory.list(query), 100)
  })),

  "a list with a query has every task that fits it": storeWith((memory) => ({
    list: (query) =>
      Stream.filter(memory.list(query), ({ updatedAt }) => query.since === undefined || updatedAt > query.since)
  })),

  "a removed task is gone from reads and lists": storeWith((memory) => {
    const removed = new Set<string>()
    return {
      remove: (taskId) => Effect.zipRight(Effect.sync(() => removed.add(taskId)), memory.remove(taskId)),
      list: listsAll(memory, removed)
    }
  }),

  "a removed task's mail is gone with it": storeWith((memory) => ({
    remove: (taskId) =>
      Effect.flatMap(memory.receive(taskId), (letters) =>
        Effect.zipRight(
          memory.remove(taskId),
          Effect.forEach(letters, ({ message }) => memory.send(taskId, message), { discard: true })
        ))
  })),

  // Only marks a task as removed, and opening it brings it back.
  "a removed task's id begins anew at nothing": storeWith((memory) => {
    const marked = new Map<string, ReadonlyArray<string>>()
    return {
      remove: (taskId) =>
        Effect.flatMap(Effect.orDie(memory.read(taskId, 0)), (records) => {
          marked.set(taskId, records)
          return memory.remove(taskId)
        }),
      open: openWith(memory, ({ records }, taskId) => ({ records: marked.get(taskId) ?? records }))
    }
  }),

  // Remembers what it has listed, by the task's id.
  "a task that was begun anew is listed as what it is now": storeWith((memory) => {
    const over = new Map<string, TaskIO.EncodedSummary>()
    return {
      list: (query) =>
        Stream.map(memory.list(query), (summary) => {
          const known = over.get(summary.taskId) ?? summary
          if (known.memo !== undefined && known.status === "Failed") over.set(summary.taskId, known)
          return known
        })
    }
  }),

  "tasks whose ids look alike do not see each other": storeWith((memory) => ({
    remove: (taskId) =>
      Effect.zipRight(
        memory.remove(taskId),
        Stream.runForEach(
          Stream.filter(memory.list({}), (summary) => summary.taskId.startsWith(taskId)),
          (summary) => memory.remove(summary.taskId)
        )
      )
  })),

  "task ids of every allowed character can be used": storeWith((memory) => ({
    open: (taskId) => taskId.includes("=") ? refused("open", taskId, "a bad name") : memory.open(taskId)
  })),

  "a message waits until it is acknowledged, however often it is read": storeWith((memory) => {
    const reads = new Map<string, number>()
    return {
      receive: (taskId) =>
        Effect.map(memory.receive(taskId), (letters) => {
          for (const { id } of letters) reads.set(id, (reads.get(id) ?? 0) + 1)
          return letters.filter(({ id }) => (reads.get(id) ?? 0) <= 3)
        })
    }
  }),

  "a message is for its own task only": storeWith((memory) => ({
    receive: () =>
      Effect.flatMap(memory.waiting, (ids) => Effect.map(Effect.forEach(ids, memory.receive), (all) => all.flat()))
  })),

  "a message can be left for a task that is yet to come, and creates none": storeWith((memory) => {
    const heardOf = new Set<string>()
    return {
      send: (taskId, message) => Effect.zipRight(Effect.sync(() => heardOf.add(taskId)), memory.send(taskId, message)),
      list: listsAll(memory, heardOf),
      remove: (taskId) => Effect.zipRight(Effect.sync(() => heardOf.delete(taskId)), memory.remove(taskId))
    }
  }),

  "messages wait while their task is taken up, written to and let go of": storeWith((memory) => ({
    open: (taskId) =>
      Effect.tap(
        memory.open(taskId),
        ({ records }) =>
          records.length === 0 ?
            Effect.void :
            Effect.flatMap(memory.receive(taskId), (letters) => memory.acknowledge(taskId, letters.map(({ id }) => id)))
      )
  })),

  "a message sent after a removal is for the next task of that id": storeWith((memory) => {
    const removed = new Set<string>()
    return {
      remove: (taskId) => Effect.zipRight(Effect.sync(() => removed.add(taskId)), memory.remove(taskId)),
      send: (taskId, message) => removed.has(taskId) ? Effect.void : memory.send(taskId, message)
    }
  }),

  // Reads all letters, and writes them with one more.
  "messages that are sent at once all arrive": storeWith((memory) => ({
    send: (taskId, message) =>
      Effect.gen(function*() {
        const before = new Set((yield* memory.receive(taskId)).map(({ id }) => id))
        yield* Effect.yieldNow()
        const lost = (yield* memory.receive(taskId)).filter(({ id }) => !before.has(id))
        yield* memory.acknowledge(taskId, lost.map(({ id }) => id))
        yield* memory.send(taskId, message)
      })
  })),

  // Reads all letters, and writes those that are left.
  "a message that is sent while another is acknowledged stays": storeWith((memory) => ({
    acknowledge: (taskId, ids) =>
      Effect.gen(function*() {
        const before = new Set((yield* memory.receive(taskId)).map(({ id }) => id))
        yield* Effect.yieldNow()
        const lost = (yield* memory.receive(taskId)).filter(({ id }) => !before.has(id))
        yield* memory.acknowledge(taskId, [...ids, ...lost.map(({ id }) => id)])
      })
  })),

  // Sorts its numbers as texts.
  "messages are read oldest first": storeWith((memory) => ({
    receive: (taskId) =>
      Effect.map(memory.receive(taskId), (letters) => letters.toSorted(({ id }, other) => id < other.id ? -1 : 1))
  })),

  "messages of any text survive": storeWith((memory) => ({
    send: (taskId, message) => memory.send(taskId, normal(message))
  })),

  "the same message sent twice is two letters": storeWith((memory) => ({
    receive: (taskId) =>
      Effect.map(
        memory.receive(taskId),
        (letters) =>
          letters.filter((letter, index) => letters.findIndex(({ message }) => message === letter.message) === index)
      )
  })),

  "acknowledging removes the letters it names, and no others": storeWith((memory) => ({
    acknowledge: (taskId, ids) =>
      Effect.flatMap(memory.receive(taskId), (letters) => {
        const last = letters.findLastIndex(({ id }) => ids.includes(id))
        return memory.acknowledge(taskId, letters.slice(0, last + 1).map(({ id }) => id))
      })
  })),

  "acknowledging no letter removes none": storeWith((memory) => ({
    acknowledge: (taskId, ids) =>
      ids.length > 0
        ? memory.acknowledge(taskId, ids)
        : Effect.flatMap(memory.receive(taskId), (all) => memory.acknowledge(taskId, all.map(({ id }) => id)))
  })),

  "acknowledging what is gone is nothing": storeWith((memory) => ({
    acknowledge: (taskId, ids) =>
      Effect.flatMap(memory.receive(taskId), (letters) =>
        ids.every((named) => letters.some(({ id }) => id === named))
          ? memory.acknowledge(taskId, ids)
          : refused("acknowledge", taskId, "no such letter"))
  })),

  // Numbers letters by those that are there.
  "acknowledging what is gone removes no later letter": storeWith((memory) => {
    const numbers = new Map<string, number>()
    const numbered = (taskId: string) =>
      Effect.map(memory.receive(taskId), (letters) => {
        let last = 0
        return letters.map(({ id, message }) => {
          last = numbers.get(id) ?? last + 1
          numbers.set(id, last)
          return { id: String(last), message, within: id }
        })
      })
    return {
      receive: numbered,
      acknowledge: (taskId, ids) =>
        Effect.flatMap(
          numbered(taskId),
          (letters) =>
            memory.acknowledge(taskId, letters.filter(({ id }) => ids.includes(id)).map(({ within }) => within))
        )
    }
  }),

  "a task has mail waiting until its last letter is acknowledged": storeWith((memory) => {
    const read = new Set<string>()
    return {
      acknowledge: (taskId, ids) =>
        Effect.zipLeft(memory.acknowledge(taskId, ids), Effect.sync(() => read.add(taskId))),
      waiting: Effect.map(memory.waiting, (ids) => [...new Set([...ids, ...read])])
    }
  }),

  "of every task that has mail waiting is told, however many there are": storeWith((memory) => ({
    waiting: Effect.map(memory.waiting, (ids) => ids.slice(0, 100))
  })),

  "arrivals tell of new mail": storeWith(() => ({ arrivals: Stream.never }))
}
