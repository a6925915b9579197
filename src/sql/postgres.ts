/**
 * Postgres: procedures are functions, whose plans each connection keeps. To plan what is said for each task anew took longer
 * than to do it.
 */

import { crc32 } from "../internal/crc32.ts"
import { type Dialect, type Names, staleWriter } from "./dialect.ts"

const tables = ({ bare, of }: Names): ReadonlyArray<string> => [
  `create table ${of("tasks")} (
    task_id text collate "C" primary key, epoch bigint not null, owner text not null, records integer not null,
    updated_at text collate "C", summary text, created_at text collate "C", check_mate text collate "C",
    status text collate "C", updated_hour text collate "C"
  ) with (fillfactor = 70)`,
  `create index ${bare("tasks_by_status")} on ${of("tasks")} (status, updated_hour)`,
  `create index ${bare("tasks_by_check_mate")} on ${of("tasks")} (check_mate, status)`,
  `create table ${of("batches")} (
    task_id text collate "C" not null, position integer not null, records text not null, primary key (task_id, position)
  )`,
  `create table ${of("tags")} (
    tag text collate "C" not null, task_id text collate "C" not null, primary key (tag, task_id)
  )`,
  `create index ${bare("tags_by_task")} on ${of("tags")} (task_id)`,
  `create table ${of("mail")} (
    number bigserial primary key, id text not null unique, task_id text collate "C" not null, message text not null
  )`,
  `create index ${bare("mail_by_task")} on ${of("mail")} (task_id, number)`,
  `create sequence ${of("epochs")}`,
  `create table ${of("engines")} (
    id text primary key, name text not null, process text, beat integer not null, expires bigint not null
  )`,
  `create table ${of("locks")} (
    task_id text collate "C" primary key, engine text not null, since bigint not null
  )`,
  `create index ${bare("locks_by_engine")} on ${of("locks")} (engine)`
]

// One by one: for a group this takes half the time of statements over the whole of it.
const appendProcedure = ({ of }: Names, fence: string): string =>
  `create or replace function ${of("append")}(appends jsonb) returns void language plpgsql as $procedure$
  declare
    a jsonb;
    at integer;
  begin
    if current_setting('synchronous_commit') = 'off' then
      perform set_config('synchronous_commit', 'on', true);
    end if;
    for number in 0 .. jsonb_array_length(appends) - 1 loop
      a := appends -> number;
      at := (a ->> 2)::integer;
      update ${of("tasks")} t set
        records = at + (a ->> 3)::integer, status = a ->> 5, check_mate = a ->> 6, created_at = a ->> 7,
        updated_at = a ->> 8, summary = a ->> 9, updated_hour = left(a ->> 8, 13)
        where t.task_id = a ->> 0 and t.owner = a ->> 1 and t.records = at${fence};
      if not found then
        raise exception '${staleWriter}';
      end if;
      insert into ${of("batches")} values (a ->> 0, at, a ->> 4);
      if a ->> 10 is not null then
        delete from ${of("tags")} g where g.task_id = a ->> 0;
        insert into ${of("tags")} select distinct value, a ->> 0 from jsonb_array_elements_text((a ->> 10)::jsonb);
      end if;
    end loop;
  end $procedure$`

// Engines of an older version name none.
const fenced = " and (a ->> 11 is null or t.epoch = (a ->> 11)::bigint)"

const procedures = ({ of }: Names): ReadonlyArray<string> => [
  `create function ${of("claim")}(claimed text, claimant text)
    returns table (epoch text, owner text, count integer, "position" integer, records text) language plpgsql as $procedure$
  #variable_conflict use_column
  declare
    held record;
  begin
    perform set_config('synchronous_commit', 'off', true);
    loop
      -- The number is drawn while the row is locked, so that the greatest is the last one's.
      update ${of("tasks")} t set epoch = nextval('${of("epochs")}'), owner = claimant where t.task_id = claimed
        returning t.epoch, t.records into held;
      exit when found;
      insert into ${of("tasks")} as t (task_id, epoch, owner, records)
        values (claimed, nextval('${of("epochs")}'), claimant, 0) on conflict do nothing
        returning t.epoch, t.records into held;
      exit when found;
    end loop;
    return query select held.epoch::text, claimant, held.records, b.position, b.records
      from (select 1) one left join ${of("batches")} b on b.task_id = claimed order by b.position;
  end $procedure$`,
  `create function ${of("remove")}(removed text) returns void language plpgsql as $procedure$
  begin
    delete from ${of("tasks")} where task_id = removed;
    delete from ${of("batches")} where task_id = removed;
    delete from ${of("tags")} where task_id = removed;
    delete from ${of("mail")} where task_id = removed;
  end $procedure$`
]

/** Without those whose row is locked, by a transaction that may be open for long, for which the others need not wait. */
const claimAllProcedure = ({ of }: Names): string =>
  `create or replace function ${of("claim_all")}(claims jsonb)
    returns table (task_id text, epoch text, owner text, count integer, "position" integer, records text)
    language plpgsql as $procedure$
  #variable_conflict use_column
  declare
    claimed text;
    claimant text;
    held record;
  begin
    perform set_config('synchronous_commit', 'off', true);
    for number in 0 .. jsonb_array_length(claims) - 1 loop
      claimed := claims -> number ->> 0;
      claimant := claims -> number ->> 1;
      perform 1 from ${of("tasks")} t where t.task_id = claimed for update skip locked;
      -- The number is drawn while the row is locked, as above.
      if found then
        update ${of("tasks")} t set epoch = nextval('${of("epochs")}'), owner = claimant where t.task_id = claimed
          returning t.epoch, t.records into held;
      else
        insert into ${of("tasks")} as t (task_id, epoch, owner, records)
          values (claimed, nextval('${of("epochs")}'), claimant, 0) on conflict do nothing
          returning t.epoch, t.records into held;
      end if;
      continue when not found;
      return query select claimed, held.epoch::text, claimant, held.records, b.position, b.records
        from (select 1) one left join ${of("batches")} b on b.task_id = claimed order by b.position;
    end loop;
  end $procedure$`

const now = "(extract(epoch from clock_timestamp()) * 1000)::bigint"

// An array, and above a lateral join: for what only looks like a join the whole table may be read.
const isAmong = (column: string, parameter: string): string =>
  `${column} = any(array(select jsonb_array_elements_text(${parameter}::jsonb)))`
const among = (column: string): string => isAmong(column, "?")

/** Has the transaction it is said in wait for the disk, also where that is not the default. Beside what is asked for. */
const durably =
  "case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', true) end"

/** How long a channel's name may be. */
const channelLimit = 63

/** The channel that tells of mail: one for every store of a database. A long name ends in its checksum. */
export const channelOf = ({ prefix, schema }: Names): string => {
  const name = `${prefix}mail${schema === undefined ? "" : `@${schema}`}`
  const sum = crc32(new TextEncoder().encode(name))
  return name.length <= channelLimit ? name : `${name.slice(0, channelLimit - 1 - sum.length)}@${sum}`
}

// Each statement sees what was committed before it: of a task that another began after the first one, none was found by it.
const removeProcedure = ({ of }: Names): string =>
  `create or replace function ${of("remove")}(removed text) returns void language plpgsql as $procedure$
  begin
    delete from ${of("tasks")} where task_id = removed;
    if found then
      delete from ${of("batches")} where task_id = removed;
      delete from ${of("tags")} where task_id = removed;
    end if;
    delete from ${of("mail")} where task_id = removed;
  end $procedure$`

/** A write to an engine's locks, which need not survive the server. */
const lightProcedure = (name: string, write: string): string =>
  `create or replace function ${name}(binder text, wanted jsonb) returns table (task_id text) language plpgsql as $procedure$
  #variable_conflict use_column
  begin
    perform set_config('synchronous_commit', 'off', true);
    return query ${write};
  end $procedure$`

/** Reads journals, of which `batches` selects those batches that are asked for. */
const readProcedure = (
  { of }: Names,
  name: string,
  { batches, isWanted }: { readonly batches: string; readonly isWanted: string }
): string =>
  `create or replace function ${of(name)}(wanted jsonb)
    returns table (task_id text, epoch text, owner text, count integer, "position" integer, records text)
    language plpgsql stable as $procedure$
  #variable_conflict use_column
  begin
    return query select t.task_id, t.epoch::text, t.owner, t.records, b.position, b.records
      from ${of("tasks")} t left join lateral (${batches} order by position) b on true
      where ${isWanted} order by t.task_id, b.position;
  end $procedure$`

const batchesOf = ({ of }: Names): string => `select position, records from ${of("batches")} where task_id = t.task_id`

const askedOften = (names: Names): ReadonlyArray<string> => {
  const { of } = names
  return [
    readProcedure(names, "journals", { batches: batchesOf(names), isWanted: isAmong("t.task_id", "wanted") }),
    lightProcedure(
      of("bind"),
      `insert into ${of("locks")} (task_id, engine, since)
      select value, binder, ${now} from jsonb_array_elements_text(wanted) as each(value)
      on conflict (task_id) do nothing returning task_id`
    ),
    lightProcedure(
      of("release"),
      `delete from ${of("locks")} where engine = binder and ${isAmong("task_id", "wanted")} returning task_id`
    )
  ]
}

// Of a journal that is read from its beginning on, the batch to begin with is not looked for.
const journalsProcedure = (names: Names): string => {
  const from = "(wanted ->> t.task_id)::bigint"
  const beginning = `select position from ${names.of("batches")} where task_id = t.task_id and position <= ${from}
    order by position desc limit 1`
  return readProcedure(names, "journals_from", {
    batches: `${batchesOf(names)} and position >= case when ${from} = 0 then 0 else coalesce((${beginning}), 0) end`,
    isWanted: "t.task_id = any(array(select jsonb_object_keys(wanted)))"
  })
}

export const postgres: Dialect = {
  name: "pg",
  migrations: (names) => [
    { name: "begin", statements: [...tables(names), appendProcedure(names, ""), ...procedures(names)] },
    {
      name: "fence by epoch",
      statements: [appendProcedure(names, fenced)]
    },
    { name: "remove what is found", statements: [removeProcedure(names)] },
    { name: "plan once", statements: [appendProcedure(names, fenced), ...askedOften(names)] },
    { name: "claim together", statements: [claimAllProcedure(names)] },
    { name: "read from a position", statements: [journalsProcedure(names)] }
  ],
  beforeMigrating: ({ of, prefix, schema }) => [
    `select pg_advisory_xact_lock(hashtext('checkmate ${schema ?? ""}.${prefix}'))`,
    ...(schema === undefined ? [] : [
      // Other stores in it may come at once, too.
      `select pg_advisory_xact_lock(hashtext('checkmate schema ${schema}'))`,
      // Not asked for where it is there, which takes a right on the whole database all the same.
      `do $do$ begin
        if not exists (select 1 from pg_namespace where nspname = '${schema}') then
          create schema if not exists "${schema}";
        end if;
      end $do$`
    ]),
    // As the Migrator makes it, which asks for it in a way that fails where it is not there.
    `create table if not exists ${of("migrations")} (
      migration_id integer primary key, created_at timestamp with time zone not null default now(), name text not null
    )`
  ],
  hasTable: "select 1 where to_regclass(?) is not null",
  now,
  append: ({ of }) => {
    const text = `select ${of("append")}(?::jsonb)`
    return (appends) => [text, [JSON.stringify(appends)]]
  },
  among,
  journals: ({ of }) => {
    const text = `select * from ${of("journals_from")}(?::jsonb)`
    return (from) => [text, [JSON.stringify(Object.fromEntries(from))]]
  },
  claim: ({ of }) => (claims) => [
    `select * from ${of("claim_all")}(?::jsonb)`,
    [JSON.stringify(claims.map(({ owner, taskId }) => [taskId, owner]))]
  ],
  claimLocked: ({ of }) => ({ owner, taskId }) => [
    `select $1::text as task_id, c.* from ${of("claim")}($1, $2) c`,
    [taskId, owner]
  ],
  claimReads: true,
  // One by one, in one statement: to set a sequence could take it back behind what others have got from it meanwhile.
  advance: ({ of }) =>
    `select count(nextval('${of("epochs")}')) from ${of("epochs")} as now
      cross join lateral generate_series(1, ?::bigint - 1 - case when now.is_called then now.last_value else 0 end)`,
  send: (names) =>
    `with sent as (insert into ${names.of("mail")} (id, task_id, message) values (?, ?, ?) on conflict do nothing
      returning task_id)
      select (select pg_notify('${channelOf(names)}', task_id)::text from sent), ${durably}`,
  remove: ({ of }) => `select ${of("remove")}(?), ${durably}`,
  bind: ({ of }) => `select task_id from ${of("bind")}(?, ?::jsonb)`,
  release: ({ of }) => `select task_id from ${of("release")}(?, ?::jsonb)`,
  // With the offset no condition on the rows is tried before they are locked.
  asTheyAre: "offset 0 for share",
  lightly: (statement) =>
    `with light as (select set_config('synchronous_commit', 'off', true)) ${statement}, (select 1 from light) as light`,
  aroundLight: undefined,
  parameters: (text) => {
    let number = 0
    return text.replaceAll("?", () => `$${++number}`)
  }
}
