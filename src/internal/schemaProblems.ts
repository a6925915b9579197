/** What a schema's AST tells about whether its values can be checkpointed. */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as AST from "effect/SchemaAST"

/** What a node is made of; of a transformation only what it encodes to, where just that is asked for. */
const children = (ast: AST.AST, encodedOnly: boolean): ReadonlyArray<AST.AST> => {
  switch (ast._tag) {
    case "Declaration":
      return ast.typeParameters
    case "TupleType":
      return [...ast.elements, ...ast.rest].map((element) => element.type)
    case "TypeLiteral":
      return [
        ...ast.propertySignatures.map((property) => property.type),
        ...ast.indexSignatures.flatMap((signature) => [signature.parameter, signature.type])
      ]
    case "Union":
      return ast.types
    case "Suspend":
      return [ast.f()]
    case "Refinement":
      return [ast.from]
    case "Transformation":
      return encodedOnly ? [ast.from] : [ast.from, ast.to]
    default:
      return []
  }
}

/** Schemas derived from recursive ones make new nodes at every look; what is further away is not looked at. */
const mostNodes = 5_000

/** The nodes of a schema, each once, so that recursive schemas end. */
const nodes = (root: AST.AST, encodedOnly: boolean): ReadonlySet<AST.AST> => {
  const seen = new Set<AST.AST>([root])
  for (const ast of seen) {
    if (seen.size > mostNodes) break
    for (const child of children(ast, encodedOnly)) seen.add(child)
  }
  return seen
}

/**
 * Whether something in a schema may wait when a value is read: what that is made of can. Which value gets there, as another
 * member of a union, is not to be seen.
 */
export const mayWait = (ast: AST.AST): boolean => {
  const all = nodes(ast, false)
  return all.size > mostNodes ||
    [...all].some((node) =>
      node._tag === "Declaration" || (node._tag === "Transformation" && AST.isFinalTransformation(node.transformation))
    )
}

const redacted = "effect/Redacted"

const isRedacted = (ast: AST.AST): boolean =>
  Option.exists(
    AST.getAnnotation<{ readonly _tag?: unknown }>(AST.TypeConstructorAnnotationId)(ast),
    (constructor) => constructor._tag === redacted
  )

const isNotJson = (ast: AST.AST): boolean =>
  ast._tag === "Declaration" || ast._tag === "BigIntKeyword" || ast._tag === "SymbolKeyword"
  || ast._tag === "UniqueSymbol"
  || (ast._tag === "TypeLiteral" && ast.propertySignatures.some(({ name }) => typeof name === "symbol"))

/** A filter may throw at what it was not made for. */
const letsUndefinedPass = (ast: AST.Refinement): boolean =>
  Either.getOrElse(
    Either.try(() => Option.isNone(ast.filter(undefined, AST.defaultParseOption, ast))),
    () => false
  )

/** Whether a whole value may be undefined, which is not the same as a property of it. */
const canBeUndefined = (ast: AST.AST, above: ReadonlySet<AST.AST> = new Set()): boolean => {
  switch (ast._tag) {
    case "UndefinedKeyword":
    case "VoidKeyword":
      return true
    case "Union":
      return ast.types.some((type) => canBeUndefined(type, above))
    case "Suspend":
      return !above.has(ast) && canBeUndefined(ast.f(), new Set([...above, ast]))
    case "Refinement":
      return canBeUndefined(ast.from, above) && letsUndefinedPass(ast)
    case "Transformation":
      return canBeUndefined(ast.to, above)
    default:
      return false
  }
}

/** Why values of this schema cannot be written to a journal; one sentence without its subject each. */
export const attributeProblems = (ast: AST.AST): ReadonlyArray<string> => {
  if ([...nodes(ast, false)].some(isRedacted)) {
    return [
      "holds a Redacted value, which a journal would keep in clear; give secrets to stages as services or Config, not as state"
    ]
  }
  if (canBeUndefined(ast)) {
    return [
      "can be undefined, which is what an attribute is until it is provided, so that it would count as missing; use Schema.NullOr or Schema.Option"
    ]
  }
  const found = [...nodes(ast, true)].find(isNotJson)
  return found === undefined
    ? []
    : [
      `encodes to ${
        String(found)
      }, which JSON cannot hold; use a schema that encodes to JSON (Schema.Date, not Schema.DateFromSelf)`
    ]
}
