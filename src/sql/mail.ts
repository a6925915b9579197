/** Messages for whoever runs a task. */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { nonce } from "../internal/nonce.ts"
import type { Encoded } from "../TaskIO/Encoded.ts"
import { arrivalsOf } from "./arrivals.ts"
import type { Database } from "./database.ts"
import { Ids, questionsTo } from "./questions.ts"

const Letters = Schema.Array(Schema.Struct({ id: Schema.String, message: Schema.String }))

export const mailOf = (
  database: Database
): Pick<Encoded, "send" | "receive" | "acknowledge" | "waiting" | "arrivals"> => {
  const { dialect, names } = database
  const mail = names.of("mail")
  const { ask, tell } = questionsTo(database)

  const waitingText = `select distinct task_id from ${mail}`
  const waiting = Effect.map(
    ask("look for messages", Ids, waitingText, []),
    (rows) => rows.map(({ task_id }) => task_id)
  )
  const arrivals = arrivalsOf(database, waiting)

  return {
    send: (taskId, message) =>
      Effect.flatMap(nonce, (id) => tell("send a message", dialect.send(names), [id, taskId, message], taskId)),
    receive: (taskId) =>
      ask(
        "read messages",
        Letters,
        `select id, message from ${mail} where task_id = ? order by number`,
        [taskId],
        taskId
      ),
    acknowledge: (taskId, ids) =>
      ids.length === 0
        ? Effect.void
        : tell(
          "acknowledge messages",
          `delete from ${mail} where ${dialect.among("id")}`,
          [JSON.stringify(ids)],
          taskId
        ),
    waiting,
    ...(arrivals === undefined ? {} : { arrivals })
  }
}
