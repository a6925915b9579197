/** What the compiler says of a stage that is made wrong: a sentence, in the place of the stage's name. */

import type * as Effect from "effect/Effect"
import type { StageDefectError, StageTimeoutError } from "../CheckMateError.ts"
import type { Output } from "../Stage.ts"
import type * as State from "../State.ts"

/** What any execute may return. With object: what shares no attribute with the model would be refused before its sentence. */
export type AnyOutput<F extends State.Fields> = (Partial<State.Attributes<F>> & object) | void
type KeysOf<Out> = Out extends unknown ? keyof Out : never
type MissingFrom<Out, Provides> = Out extends unknown ? Exclude<Provides, keyof Out> : never

/** The stage's name where the output is right, a sentence where it is not. */
export type CheckOutput<Name extends string, F extends State.Fields, Provides extends keyof F, Named, Out> =
  // What the compiler tries with before it has looked at execute.
  [AnyOutput<F>] extends [Out] ? Name
    // A model made at run time is checked there.
    : string extends keyof F ? Name
    // A name that is none makes the compiler take Provides for every attribute.
    : [Exclude<Named, keyof F>] extends [never] ? CheckDeclared<Name, F, Provides, Out>
    : string extends Named
      ? `stage "${Name}" gives provides a list whose names the compiler does not know; write them in place, or end the list with as const`
    : `stage "${Name}" provides "${Exclude<Named, keyof F> & string}", which the state model does not declare`

type CheckDeclared<Name extends string, F extends State.Fields, Provides extends keyof F, Out> =
  [MissingFrom<Out, Provides>] extends [never]
    ? [Exclude<KeysOf<Out>, Provides>] extends [never]
      ? [Out] extends [[Provides] extends [never] ? void | object : Output<F, Provides>] ? Name
      : `stage "${Name}" returns an attribute it provides as another type, or perhaps not at all`
    : [Provides] extends [never]
      ? `stage "${Name}" provides nothing, so its execute must return nothing; end it with Effect.asVoid, or list what it returns in provides, an array`
    : `stage "${Name}" returns "${Exclude<KeysOf<Out>, Provides> & string}", which it does not list in provides`
    : `stage "${Name}" provides "${MissingFrom<Out, Provides> & string}", which its execute does not return`

/** The same for an execute that returns no Effect, or one of a value without names. */
export type CheckReturned<Name extends string, Returned> = [Returned] extends
  [Effect.Effect<object | void, unknown, unknown>] ? Name
  : [Returned] extends [Effect.Effect<unknown, unknown, unknown>]
    ? `stage "${Name}" has an execute that comes to a value without a name; end it with Effect.asVoid, or return an object of what it provides`
  : [Returned] extends [PromiseLike<unknown>]
    ? `stage "${Name}" has an execute that returns a Promise and not an Effect; wrap that in Effect.tryPromise`
  : [Returned] extends [Iterator<unknown, unknown, never>]
    ? `stage "${Name}" has an execute that is a generator function; wrap its generator in Effect.gen`
  : `stage "${Name}" has an execute that returns a value that is no Effect; wrap it in Effect.succeed`

/** The same for what its retry is shown beside what execute fails with. */
export type CheckRetry<Name extends string, Retried, Timeout, Defects> = unknown extends Retried ? Name
  : [Timeout] extends [never] ? CheckRetriedDefects<Name, Retried, Defects>
  : [StageTimeoutError] extends [Retried] ? CheckRetriedDefects<Name, Retried, Defects>
  : `stage "${Name}" has a timeout, so its retry is shown StageTimeoutError, too; let its Schedule take that beside what execute fails with`

type CheckRetriedDefects<Name extends string, Retried, Defects> = [Defects] extends [true]
  ? [StageDefectError] extends [Retried] ? Name
  : `stage "${Name}" has retryDefects, so its retry is shown StageDefectError, too; let its Schedule take that beside what execute fails with`
  : Name
