/** Tells, from a process of its own, how state models of recursive schemas fare. */
import { Either, type Redacted, Schema } from "effect"
import { State } from "effect-checkmate"

interface Tree {
  readonly value: number
  readonly children: ReadonlyArray<Tree>
}
const Tree: Schema.Schema<Tree> = Schema.Struct({
  value: Schema.Number,
  children: Schema.Array(Schema.suspend(() => Tree))
})

interface Linked {
  readonly at: Date
  readonly next: Linked | null
}
interface LinkedEncoded {
  readonly at: string
  readonly next: LinkedEncoded | null
}
const Linked: Schema.Schema<Linked, LinkedEncoded> = Schema.Struct({
  at: Schema.Date,
  next: Schema.NullOr(Schema.suspend(() => Linked))
})

interface Folder {
  readonly entries: ReadonlyArray<Entry>
}
interface Entry {
  readonly name: string
  readonly folder?: Folder
}
const Folder: Schema.Schema<Folder> = Schema.Struct({ entries: Schema.Array(Schema.suspend(() => Entry)) })
const Entry: Schema.Schema<Entry> = Schema.Struct({
  name: Schema.String,
  folder: Schema.optionalWith(Schema.suspend(() => Folder), { exact: true })
})

interface Dated {
  readonly at: Date
  readonly next: Dated | null
}
const Dated: Schema.Schema<Dated> = Schema.Struct({
  at: Schema.DateFromSelf,
  next: Schema.NullOr(Schema.suspend(() => Dated))
})

interface Secret {
  readonly hidden: Redacted.Redacted
  readonly more: ReadonlyArray<Secret>
}
interface SecretEncoded {
  readonly hidden: string
  readonly more: ReadonlyArray<SecretEncoded>
}
const Secret: Schema.Schema<Secret, SecretEncoded> = Schema.Struct({
  hidden: Schema.Redacted(Schema.String),
  more: Schema.Array(Schema.suspend(() => Secret))
})

const Lists = State.make({ list: Linked })
const at = "2026-01-01T00:00:00.000Z"
const listOf = <A>(length: number, add: (next: A | null) => A): A => {
  let list = add(null)
  for (let more = 1; more < length; more++) list = add(list)
  return list
}
// The first that is read: a process that has just begun reads fewer levels than one that has run for a while writes.
const deepest = State.decode(Lists, { list: listOf<LinkedEncoded>(500, (next) => ({ at, next })) })
const tooDeep = State.encode(Lists, { list: listOf<Linked>(800, (next) => ({ at: new Date(at), next })) })

const exit = Schema.Exit({ success: Schema.Void, failure: Schema.String, defect: Schema.Defect })
const problems = (fields: State.Fields) => State.make(fields).problems.map(({ attribute }) => attribute)

let tree: Tree = { value: 0, children: [] }
for (let value = 1; value <= 100; value++) tree = { value, children: [tree, { value, children: [] }] }
const Trees = State.make({ tree: Tree })
const wrong = { value: 1, children: [{ value: 2, children: [tree, { value: "three", children: [] }] }] }

const told = {
  tree: problems({ tree: Tree }),
  linked: problems({ linked: Linked }),
  mutual: problems({ folder: Folder }),
  exit: problems({ exit }),
  date: problems({ at: Dated }),
  secret: problems({ secret: Secret }),
  kept: JSON.stringify(Either.flatMap(State.encode(Trees, { tree }), (text) => State.decode(Trees, text)))
    === JSON.stringify(Either.right({ tree })),
  deepest: Either.isRight(deepest),
  tooDeep: Either.isLeft(tooDeep),
  refused: Either.match(State.encode(Trees, { tree: wrong }), {
    onLeft: ({ path }) => path,
    onRight: () => []
  })
}
process.stdout.write(JSON.stringify(told))
