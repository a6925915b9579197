/** What is wrong with a definition, as untyped code or code that the compiler cannot see through may make it. */
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import type { DefinitionProblem } from "../CheckMateError.ts"
import * as Stage from "../Stage.ts"
import * as State from "../State.ts"
import { areTexts, isList, showValue } from "./json.ts"
import { list } from "./words.ts"

const nameProblem = (name: unknown): string | undefined =>
  !Predicate.isString(name) || name.length === 0
    ? "must have a name of at least 1 character"
    : name.length > 150
    ? `has a name of ${name.length} characters; 150 are the most`
    : undefined

/** A name for people, also where untyped code gave something else. */
export const asText = (name: unknown): string => Predicate.isObject(name) ? showValue(name) : String(name)

/** A list, also where untyped code gave something else, of which there is a problem to tell then. */
const listed = <A>(given: ReadonlyArray<A>): ReadonlyArray<A> => isList(given) ? given : []

const isScheduleOrNone = (u: unknown): boolean => u === undefined || Predicate.hasProperty(u, "step")

const stageProblems = (
  stage: Stage.Any,
  state: State.Any,
  seen: ReadonlySet<string>,
  have: ReadonlySet<string>
): ReadonlyArray<DefinitionProblem> => {
  const label = `stage "${asText(stage.name)}"`
  const problem = (text: string, attribute?: string): DefinitionProblem => ({
    stage: asText(stage.name),
    ...(attribute === undefined ? {} : { attribute }),
    problem: `${label} ${text}`
  })
  const name = nameProblem(stage.name)
  const requires = listed(stage.requires)
  const attributes = [...requires, ...listed(stage.provides)]
  return [
    ...(name === undefined ? [] : [problem(name)]),
    ...(["requires", "provides"] as const).filter((option) => !isList(stage[option])).map((option) =>
      problem(`has a ${option} that is not a list; write the attributes' names in an array`)
    ),
    ...(seen.has(stage.name) ? [problem("is defined twice")] : []),
    ...(stage.state === state ? [] : [problem("is a stage of another state model")]),
    ...Arr.dedupe(attributes).filter((attribute) => !state.codecs.has(attribute)).map((attribute) =>
      problem(`names "${asText(attribute)}", which the state model does not declare`, asText(attribute))
    ),
    ...requires.filter((attribute) => state.codecs.has(attribute) && !have.has(attribute)).map((attribute) =>
      problem(`requires "${attribute}", which neither the input nor an earlier stage provides`, attribute)
    ),
    ...(typeof stage.execute === "function" ? [] : [problem("has no execute function")]),
    ...(stage.rollback === undefined || typeof stage.rollback === "function"
      ? []
      : [problem("has a rollback that is not a function")]),
    ...(stage.timeout === undefined || Duration.greaterThan(stage.timeout, Duration.zero)
      ? []
      : [problem("has a timeout that is not a Duration of more than zero")]),
    ...(["retry", "rollbackRetry"] as const).filter((option) => !isScheduleOrNone(stage[option])).map((option) =>
      problem(`has a ${option} that is not a Schedule, such as Schedule.recurs(3)`)
    ),
    ...(areTexts(stage.tags) ? [] : [problem("has tags that are not a list of strings")]),
    ...listed(stage.problems).map((text) => problem(text))
  ]
}

/** What is wrong with tags, which are written into the journal of each task. */
export const tagProblems = (tags: ReadonlyArray<string>): ReadonlyArray<DefinitionProblem> =>
  areTexts(tags) ? [] : [{ problem: "the tags of the CheckMate are not a list of strings" }]

/** All that is wrong with a definition. */
export const findProblems = (
  name: string,
  options: {
    readonly state: State.Any
    readonly input: ReadonlyArray<string>
    readonly stages: ReadonlyArray<unknown>
    readonly onFailure?: string | undefined
    readonly tags?: ReadonlyArray<string> | undefined
  } | undefined
): ReadonlyArray<DefinitionProblem> => {
  const own = nameProblem(name)
  if (Predicate.isNullable(options)) {
    return [{ problem: "the CheckMate has no options; give it state, input and stages" }]
  }
  if (!State.isState(options.state)) {
    return [{ problem: "the state of the CheckMate is not a state model; make it with State.make" }]
  }
  // What such a model does not declare is not told one by one.
  const [unfit] = options.state.problems
  if (unfit !== undefined && unfit.attribute === undefined) return [unfit]
  const input = listed(options.input)
  const seen = new Set<string>()
  const have = new Set<string>(input)
  const problems: Array<DefinitionProblem> = [
    ...(own === undefined ? [] : [{ problem: `the CheckMate ${own}` }]),
    ...options.state.problems,
    ...(["input", "stages"] as const).filter((option) => !isList(options[option])).map((option) => ({
      problem: `the CheckMate has an option ${option} that is not a list; write an array`
    })),
    ...input.filter((attribute) => !options.state.codecs.has(attribute)).map((attribute) => ({
      attribute: asText(attribute),
      problem: `the input names "${asText(attribute)}", which the state model does not declare; it declares ${
        list(options.state.codecs.keys())
      }`
    })),
    ...tagProblems(options.tags ?? []),
    ...(["halt", "rollback", undefined].includes(options.onFailure)
      ? []
      : [{ problem: `onFailure is ${asText(options.onFailure)}; it can be "halt" or "rollback"` }]),
    ...(isList(options.stages) && options.stages.length === 0 ? [{ problem: "the CheckMate has no stages" }] : [])
  ]
  for (const [index, stage] of listed(options.stages).entries()) {
    if (!Stage.isStage(stage)) {
      problems.push({ problem: `number ${index + 1} of the stages is not a stage; make stages with Stage.make` })
      continue
    }
    problems.push(...stageProblems(stage, options.state, seen, have))
    seen.add(stage.name)
    for (const attribute of listed(stage.provides)) have.add(attribute)
  }
  return problems
}
