/** Values to test with, made from the library's own schemas so that no event and no field of one is forgotten. */
import { Arbitrary, FastCheck, Schema, SchemaAST as AST } from "effect"
import { Failure, Kind } from "effect-checkmate/Failure"

/** What `JSON.parse` can yield. */
export const json: FastCheck.Arbitrary<unknown> = FastCheck.jsonValue({ maxDepth: 2 }).map((value) =>
  JSON.parse(JSON.stringify(value))
)

/** Attributes as a journal holds them. */
export const attributes: FastCheck.Arbitrary<Record<string, unknown>> = FastCheck.dictionary(
  FastCheck.string().filter((key) => key !== "__proto__"),
  json,
  { maxKeys: 4, noNullPrototype: true }
)

const plainFailure = {
  kind: Arbitrary.make(Kind),
  tag: FastCheck.string(),
  message: FastCheck.string(),
  fields: attributes,
  stack: FastCheck.string()
}

const few = <A>(arbitrary: FastCheck.Arbitrary<A>) => FastCheck.array(arbitrary, { maxLength: 2 })

/** A failure as a journal holds it, with causes and others of its own. */
const failure: FastCheck.Arbitrary<Failure> = FastCheck.record({
  ...plainFailure,
  causes: few(FastCheck.record(plainFailure, { requiredKeys: ["kind", "tag", "message"] })),
  others: few(FastCheck.record(plainFailure, { requiredKeys: ["kind", "tag", "message"] }))
}, { requiredKeys: ["kind", "tag", "message"] })

const failureAst = Schema.declare(Schema.is(Failure)).annotations({ arbitrary: () => () => failure }).ast
const namesIn = (ast: AST.TypeLiteral): string => ast.propertySignatures.map(({ name }) => String(name)).join()
const failureNames = namesIn(Failure.ast as AST.TypeLiteral)
const jsonAst = Schema.Unknown.annotations({ arbitrary: () => () => json }).ast
const attributesAst = Schema.Record({ key: Schema.String, value: Schema.Unknown })
  .annotations({ arbitrary: () => () => attributes }).ast

/** The schema with its failures kept small, and its unknown values JSON. */
const tame = (ast: AST.AST): AST.AST => {
  switch (ast._tag) {
    case "UnknownKeyword":
      return jsonAst
    case "Union":
      return AST.Union.make(ast.types.map(tame))
    case "TypeLiteral":
      if (namesIn(ast) === failureNames) return failureAst
      return ast.indexSignatures.length > 0 ? attributesAst : new AST.TypeLiteral(
        ast.propertySignatures.map((property) =>
          new AST.PropertySignature(property.name, tame(property.type), property.isOptional, property.isReadonly)
        ),
        []
      )
    default:
      return ast
  }
}

/** Values of a schema, quick to make: its failures are small, and what it leaves unknown is JSON. */
export const valuesOf = <A, I>(schema: Schema.Schema<A, I>): FastCheck.Arbitrary<A> =>
  Arbitrary.make(Schema.make<A>(tame(AST.typeAST(schema.ast))))

/** The tags of a union's members. */
export const tagsOf = (schema: Schema.Schema.Any): ReadonlySet<string> => {
  const tags = (ast: AST.AST): ReadonlyArray<string> => {
    switch (ast._tag) {
      case "Union":
        return ast.types.flatMap(tags)
      case "TypeLiteral":
        return ast.propertySignatures.filter(({ name }) => name === "_tag").flatMap(({ type }) => tags(type))
      case "Literal":
        return [String(ast.literal)]
      default:
        return []
    }
  }
  return new Set(tags(AST.typeAST(schema.ast)))
}
