/**
 * What every store must do, whatever it is made of.
 *
 * @since 0.1.0
 */

import type { Encoded } from "../TaskIO/Encoded.ts"
import type { Rule } from "./Contract.ts"
import { journals } from "./TaskIOContract/journals.ts"
import { mail } from "./TaskIOContract/mail.ts"
import type { Capability } from "./TaskIOContract/support.ts"
import { tasks } from "./TaskIOContract/tasks.ts"
import { writers } from "./TaskIOContract/writers.ts"

export type { Capability } from "./TaskIOContract/support.ts"

/**
 * The rules.
 *
 * @since 0.1.0
 * @category rules
 */
export const rules: ReadonlyArray<Rule<Encoded, Capability>> = [...journals, ...writers, ...tasks, ...mail]
