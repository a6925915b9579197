import Sqlite from "better-sqlite3"
import * as fs from "node:fs"
import { performance } from "node:perf_hooks"
const dir = fs.mkdtempSync("/tmp/raw-")
const db = new Sqlite(dir + "/x.db"); db.pragma("journal_mode=WAL")
const mode = process.argv[2]
db.exec(`create table tasks (task_id text not null primary key, epoch integer not null, owner text not null, records integer not null, updated_at text, summary text, status text, check_mate text, created_at text, hour text) without rowid;
create index i1 on tasks(status, hour); create index i2 on tasks(check_mate,status);
create table batches (task_id text not null, position integer not null, records text not null, primary key (task_id, position)) without rowid;
create table tags(tag text, task_id text, primary key(tag,task_id)) without rowid; create index i3 on tags(task_id);
create view appends as select '' as task_id, '' as owner, 0 as position, 0 as count, '' as records, '' as status, '' as check_mate, '' as created_at, '' as updated_at, '' as summary, '' as tags;
create trigger ap instead of insert on appends begin
    update tasks set records = new.position + new.count, updated_at = new.updated_at, summary = new.summary
      where task_id = new.task_id and owner = new.owner and records = new.position;
    select raise(abort, 'stale') where changes() = 0;
    insert into batches values (new.task_id, new.position, new.records);
    update tasks set status = new.status, check_mate=new.check_mate, created_at=new.created_at, hour = substr(new.updated_at,1,13)
      where task_id = new.task_id and (status is not new.status or check_mate is not new.check_mate or hour is not substr(new.updated_at,1,13));
    delete from tags where task_id = new.task_id and new.tags is not null;
    insert or ignore into tags select value, new.task_id from json_each(coalesce(new.tags, '[]'));
end`)
const summary = (i:number) => ({ taskId: "a", checkMate: "c", status: "Running" as const, stage: "stage-1", succeeded: i, stages: 10, tags: [], createdAt: "2020-01-01T00:00:00.000Z", updatedAt: new Date().toISOString() })
const st = db.prepare(`insert into appends select value->>0,value->>1,value->>2,value->>3,value->>4,value->>5,value->>6,value->>7,value->>8,value->>9,value->>10 from json_each(?)`)
const st2 = db.prepare(`insert into appends values (?,?,?,?,?,?,?,?,?,?,?)`)
const b = new Sqlite(dir + "/b.db"); b.pragma("journal_mode=WAL");
b.exec("create table if not exists s (t text, n integer, body text, primary key(t,n)) without rowid")
const ins = b.prepare("insert into s values (?,?,?)")
const N = 1000
for (let round = 0; round < 4; round++) for (const sync of ["NORMAL", "FULL"]) {
  db.pragma("synchronous=" + sync); b.pragma("synchronous="+sync)
  const id = sync + "a" + round
  db.prepare("insert into tasks(task_id,epoch,owner,records) values (?,?,?,0)").run(id, 1, "o")
  let s = performance.now()
  for (let i = 0; i < N; i++) { const sm = summary(i); st.run(JSON.stringify([[id, "o", i, 1, JSON.stringify({ x: "y".repeat(500) }), "Running", "c", sm.createdAt, sm.updatedAt, JSON.stringify(sm), null]])) }
  const a = (performance.now() - s) / N * 1000
  s = performance.now()
  for (let i = N; i < 2*N; i++) { const sm = summary(i); st2.run(id, "o", i, 1, JSON.stringify({ x: "y".repeat(500) }), "Running", "c", sm.createdAt, sm.updatedAt, JSON.stringify(sm), null) }
  const c = (performance.now() - s) / N * 1000
  s = performance.now()
  for (let i = 0; i < N; i++) ins.run(id, i, JSON.stringify({ x: "y".repeat(500) }))
  console.log(sync, "json", a.toFixed(0), "values", c.toFixed(0), "bare", ((performance.now() - s) / N * 1000).toFixed(0))
}
