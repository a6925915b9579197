/** What a schema's AST tells about whether its values can be checkpointed. */
import * as Option from "effect/Option"
import * as AST from "effect/SchemaAST"

const children = (ast: AST.AST): ReadonlyArray<AST.AST> => {
  switch (ast._tag) {
    case "Declaration":
      return ast.typeParameters
    case "TupleType":
      return [...ast.elements, ...ast.rest].map((element) => element.type)
    case "TypeLiteral":
      return [
        ...ast.propertySignatures.map((property) => property.type),
        ...ast.indexSignatures.map((signature) => signature.type)
      ]
    case "Union":
      return ast.types
    case "Suspend":
      return [ast.f()]
    case "Refinement":
      return [ast.from]
    case "Transformation":
      return [ast.from, ast.to]
    default:
      return []
  }
}

/** Every node of a schema, each once, so that recursive schemas end. */
const nodes = (root: AST.AST): ReadonlySet<AST.AST> => {
  const seen = new Set<AST.AST>([root])
  for (const ast of seen) {
    for (const child of children(ast)) seen.add(child)
  }
  return seen
}

const redacted = "effect/Redacted"

const isRedacted = (ast: AST.AST): boolean =>
  Option.exists(
    AST.getAnnotation<{ readonly _tag?: unknown }>(AST.TypeConstructorAnnotationId)(ast),
    (constructor) => constructor._tag === redacted
  )

const isNotJson = (ast: AST.AST): boolean =>
  ast._tag === "Declaration" || ast._tag === "BigIntKeyword" || ast._tag === "SymbolKeyword" ||
  ast._tag === "UniqueSymbol"

/** Why values of this schema cannot be written to a journal; one sentence without its subject each. */
export const attributeProblems = (ast: AST.AST): ReadonlyArray<string> => {
  if ([...nodes(ast)].some(isRedacted)) {
    return [
      "holds a Redacted value, which a journal would keep in clear; give secrets to stages as services or Config, not as state"
    ]
  }
  const found = [...nodes(AST.encodedAST(ast))].find(isNotJson)
  return found === undefined
    ? []
    : [
      `encodes to ${
        String(found)
      }, which JSON cannot hold; use a schema that encodes to JSON (Schema.Date, not Schema.DateFromSelf)`
    ]
}
