/** Turns the SQLite tables of a store into those of the third version, as stores had them that are at work. */
import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** One of the views that appends were made by, before they were called otherwise. */
const appendsBy = (prefix: string, view: string, trigger: string, isFenced: boolean): ReadonlyArray<string> => [
  `create view "${prefix}${view}" as select
    '' as task_id, '' as owner, 0 as position, 0 as count, '' as records, '' as status, '' as check_mate,
    '' as created_at, '' as updated_at, '' as summary, '' as tags${isFenced ? ", 0 as epoch" : ""}`,
  `create trigger "${prefix}${trigger}" instead of insert on "${prefix}${view}" begin
    update "${prefix}tasks" set records = new.position + new.count, updated_at = new.updated_at, summary = new.summary
      where task_id = new.task_id and owner = new.owner and records = new.position ${
    isFenced ? "and epoch = new.epoch" : ""
  };
    select raise(abort, 'checkmate: stale writer') where changes() = 0;
    insert into "${prefix}batches" values (new.task_id, new.position, new.records);
  end`
]

export const asOfVersion3 = (prefix: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const statements = [
      `drop view "${prefix}appends_by_epoch"`,
      ...appendsBy(prefix, "appends", "append", false),
      ...appendsBy(prefix, "fenced_appends", "fenced_append", true),
      `delete from "${prefix}migrations" where migration_id > 3`
    ]
    for (const statement of statements) yield* sql.unsafe(statement)
  })
