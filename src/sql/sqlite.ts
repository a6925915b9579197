/** SQLite: procedures are triggers on views, which makes each of them one statement. */

import { type Dialect, type Names, staleWriter } from "./dialect.ts"

const tables = ({ bare, of }: Names): ReadonlyArray<string> => [
  `create table ${of("tasks")} (
    task_id text not null primary key, epoch integer not null, owner text not null, records integer not null,
    updated_at text, summary text, created_at text, check_mate text, status text, updated_hour text
  ) without rowid`,
  `create index ${of("tasks_by_status")} on ${bare("tasks")} (status, updated_hour)`,
  `create index ${of("tasks_by_check_mate")} on ${bare("tasks")} (check_mate, status)`,
  `create table ${of("batches")} (
    task_id text not null, position integer not null, records text not null, primary key (task_id, position)
  ) without rowid`,
  `create table ${of("tags")} (tag text not null, task_id text not null, primary key (tag, task_id)) without rowid`,
  `create index ${of("tags_by_task")} on ${bare("tags")} (task_id)`,
  `create table ${of("mail")} (
    number integer primary key autoincrement, id text not null unique, task_id text not null, message text not null
  )`,
  `create index ${of("mail_by_task")} on ${bare("mail")} (task_id, number)`,
  `create table ${of("epochs")} (only_one integer primary key check (only_one = 1), epoch integer not null)`,
  `insert into ${of("epochs")} values (1, 0)`,
  `create table ${of("engines")} (
    id text not null primary key, name text not null, process text, beat integer not null, expires integer not null
  ) without rowid`,
  `create table ${of("locks")} (
    task_id text not null primary key, engine text not null, since integer not null
  ) without rowid`,
  `create index ${of("locks_by_engine")} on ${bare("locks")} (engine)`
]

const among = (column: string): string => `${column} in (select value from json_each(?))`

// What is indexed is written by itself, and only when it changes: most appends change nothing of it.
const appendProcedure = (
  { bare, of }: Names,
  view: string,
  trigger: string,
  isFenced: boolean
): ReadonlyArray<string> => [
  `create view ${of(view)} as select
    '' as task_id, '' as owner, 0 as position, 0 as count, '' as records, '' as status, '' as check_mate,
    '' as created_at, '' as updated_at, '' as summary, '' as tags${isFenced ? ", 0 as epoch" : ""}`,
  `create trigger ${of(trigger)} instead of insert on ${bare(view)} begin
    update ${bare("tasks")} set records = new.position + new.count, updated_at = new.updated_at, summary = new.summary
      where task_id = new.task_id and owner = new.owner and records = new.position
        ${isFenced ? "and epoch = new.epoch" : ""};
    select raise(abort, '${staleWriter}') where changes() = 0;
    insert into ${bare("batches")} values (new.task_id, new.position, new.records);
    update ${bare("tasks")} set status = new.status, check_mate = new.check_mate, created_at = new.created_at,
        updated_hour = substr(new.updated_at, 1, 13)
      where task_id = new.task_id and (status is not new.status or check_mate is not new.check_mate
        or created_at is not new.created_at or updated_hour is not substr(new.updated_at, 1, 13));
    delete from ${bare("tags")} where task_id = new.task_id and new.tags is not null;
    insert or ignore into ${bare("tags")} select value, new.task_id from json_each(coalesce(new.tags, '[]'));
  end`
]

const claimProcedure = ({ bare, of }: Names): ReadonlyArray<string> => [
  `create view ${of("claims")} as select '' as task_id, '' as owner`,
  `create trigger ${of("claim")} instead of insert on ${bare("claims")} begin
    update ${bare("epochs")} set epoch = epoch + 1;
    insert into ${bare("tasks")} (task_id, epoch, owner, records)
      select new.task_id, epoch, new.owner, 0 from ${bare("epochs")} where true
      on conflict (task_id) do update set epoch = excluded.epoch, owner = excluded.owner;
  end`
]

const removeProcedure = ({ bare, of }: Names): ReadonlyArray<string> => [
  `create view ${of("removals")} as select '' as task_id`,
  `create trigger ${of("remove")} instead of insert on ${bare("removals")} begin
    delete from ${bare("tasks")} where task_id = new.task_id;
    delete from ${bare("batches")} where task_id = new.task_id;
    delete from ${bare("tags")} where task_id = new.task_id;
    delete from ${bare("mail")} where task_id = new.task_id;
  end`
]

const now = "cast((julianday('now') - 2440587.5) * 86400000 as integer)"

/**
 * The views that engines of an older version append by, where such may be at work. Not made anew: the name of the second,
 * behind a prefix "x_", is that of the first behind "x_fenced_", so that two such stores got in each other's way.
 */
const olderAppends = (
  names: Names,
  version: number
): ReadonlyArray<readonly [view: string, made: ReadonlyArray<string>]> => [
  ...(version >= 1 ? [["appends", appendProcedure(names, "appends", "append", false)] as const] : []),
  ...(version >= 2
    ? [["fenced_appends", appendProcedure(names, "fenced_appends", "fenced_append", true)] as const]
    : [])
]

/**
 * Batches in rows of their own, and an index of where they are: in a table that is one index, as it was before, a row over a
 * thousand bytes takes whole pages, which is up to four times the space and the time.
 *
 * @see https://sqlite.org/withoutrowid.html
 */
const batchesInRows = (names: Names, version: number): ReadonlyArray<string> => {
  const { bare, of } = names
  const older = olderAppends(names, version)
  return [
    // With their triggers, which would go on to name the older table.
    ...[...older.map(([view]) => view), "removals"].map((view) => `drop view ${of(view)}`),
    `create table ${of("batches_in_rows")} (
      task_id text not null, position integer not null, records text not null, primary key (task_id, position)
    )`,
    `insert into ${of("batches_in_rows")} select task_id, position, records from ${bare("batches")}`,
    `drop table ${of("batches")}`,
    `alter table ${of("batches_in_rows")} rename to ${bare("batches")}`,
    ...older.flatMap(([, made]) => made),
    ...removeProcedure(names)
  ]
}

export const sqlite: Dialect = {
  name: "sqlite",
  migrations: (names, version) => [
    { name: "begin", statements: [...tables(names), ...claimProcedure(names), ...removeProcedure(names)] },
    // Made by the last step, under another name.
    { name: "fence by epoch", statements: [] },
    { name: "batches in rows", statements: batchesInRows(names, version) },
    // Beside the older ones. No name of this kind is another one's behind a longer prefix.
    { name: "append by epoch", statements: appendProcedure(names, "appends_by_epoch", "append_by_epoch", true) }
  ],
  // The transaction itself keeps others out.
  beforeMigrating: () => [],
  hasTable: "select 1 from sqlite_master where type = 'table' and name = ?",
  now,
  append: ({ of }) => {
    const one = `(${Array.from({ length: 12 }, () => "?").join(", ")})`
    const text = `insert into ${of("appends_by_epoch")} values `
    return (appends) => [text + appends.map(() => one).join(", "), appends.flat()]
  },
  among,
  journals: ({ of }) => {
    const text = `select t.task_id, cast(t.epoch as text) as epoch, t.owner, t.records as count, b.position, b.records
      from ${of("tasks")} t left join ${of("batches")} b on b.task_id = t.task_id and b.position >= coalesce((
        select max(position) from ${of("batches")} where task_id = t.task_id
          and position <= (select value from json_each(?) where key = t.task_id)
      ), 0)
      where t.task_id in (select key from json_each(?)) order by t.task_id, b.position`
    return (from) => {
      const wanted = JSON.stringify(Object.fromEntries(from))
      return [text, [wanted, wanted]]
    }
  },
  claim: ({ of }) => (claims) => [
    `insert into ${of("claims")} values ${claims.map(() => "(?, ?)").join(", ")}`,
    claims.flatMap(({ owner, taskId }) => [taskId, owner])
  ],
  // No row is ever locked by itself.
  claimLocked: (names) => (claim) => sqlite.claim(names)([claim]),
  claimReads: false,
  advance: ({ of }) => `update ${of("epochs")} set epoch = max(epoch, ? - 1)`,
  send: ({ of }) => `insert or ignore into ${of("mail")} (id, task_id, message) values (?, ?, ?)`,
  remove: ({ of }) => `insert into ${of("removals")} values (?)`,
  bind: ({ of }) =>
    `insert into ${of("locks")} (task_id, engine, since) select value, ?, ${now} from json_each(?)
      where true on conflict (task_id) do nothing returning task_id`,
  release: ({ of }) => `delete from ${of("locks")} where engine = ? and ${among("task_id")} returning task_id`,
  // Nobody else writes meanwhile.
  asTheyAre: "",
  lightly: (statement) => statement,
  aroundLight: ["pragma synchronous = normal", "pragma synchronous = full"],
  parameters: (text) => text
}
