/** What a store's answers mean. */

import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import { S3Failure } from "./failure.ts"
import * as xml from "./xml.ts"

/** An answer as it came, read to its end. */
export interface Answer {
  readonly status: number
  readonly headers: HttpClientResponse.HttpClientResponse["headers"]
  readonly body: Uint8Array
}

const decoder = new TextDecoder()

export const textOf = (answer: Answer): string => decoder.decode(answer.body)

/** A time in a header, in milliseconds. DateTime itself does not read the form that HTTP has. */
export const timeOf = (answer: Answer, header: "date" | "last-modified"): Option.Option<number> =>
  Option.fromNullable(answer.headers[header]).pipe(
    Option.flatMap((text) => DateTime.make(new Date(text))),
    Option.map(DateTime.toEpochMillis)
  )

/** ETags are kept without their quotes. */
export const bareETag = (tag: string): string => tag.replace(/^(?:W\/)?"?|"$/g, "")

export const etagOf = (answer: Answer): Option.Option<string> =>
  Option.filter(Option.map(Option.fromNullable(answer.headers["etag"]), bareETag), (tag) => tag !== "")

interface Complaint {
  readonly code: string
  readonly message: string
  /** The bucket's region, where a store tells that it is another one. */
  readonly region: Option.Option<string>
}

/** The `<Error>` in an answer, which also one of status 200 can carry. */
const complaintOf = (answer: Answer): Option.Option<Complaint> =>
  answer.body.length === 0 || answer.body.length > 65_536 ? Option.none() : xml.parse(textOf(answer)).pipe(
    Option.filter(({ name }) => name === "Error"),
    Option.map((error) => ({
      code: Option.getOrElse(xml.textOf(error, "Code"), () => ""),
      message: Option.getOrElse(xml.textOf(error, "Message"), () => ""),
      region: xml.textOf(error, "Region")
    }))
  )

const kindOf = (status: number, code: string): S3Failure["kind"] => {
  switch (code) {
    case "RequestTimeTooSkewed":
    case "RequestExpired":
      return "clock"
    case "ExpiredToken":
    case "ExpiredTokenException":
    case "InvalidAccessKeyId":
    case "InvalidToken":
    // MinIO's word for one that has expired.
    case "InvalidTokenId":
    // A secret may be changed behind the same key.
    case "SignatureDoesNotMatch":
    case "TokenRefreshRequired":
      return "credentials"
    case "ConditionalRequestConflict":
    case "OperationAborted":
      return "conflict"
    case "IncompleteBody":
    case "InternalError":
    case "RequestTimeout":
    case "ServiceUnavailable":
    case "SlowDown":
    case "XAmzContentSHA256Mismatch":
      return "passing"
    case "NotImplemented":
      return "lasting"
    default:
      return status === 409 ? "conflict" : status === 408 || status === 429 || status >= 500 ? "passing" : "lasting"
  }
}

const advice: Readonly<Record<string, string>> = {
  AccessDenied: "Give these credentials the right to get, put, delete and list what is under the prefix",
  NoSuchBucket: "Create the bucket, or check its name, the endpoint and the region",
  SignatureDoesNotMatch: "Check the secret access key"
}

const elsewhere: ReadonlyArray<string> = [
  "AuthorizationHeaderMalformed",
  "IllegalLocationConstraintException",
  "PermanentRedirect",
  "TemporaryRedirect"
]

/** What can be done about an answer. */
const hintOf = ({ headers, status }: Answer, { code, region }: Complaint): string | undefined => {
  if (elsewhere.includes(code)) {
    return Option.match(Option.orElse(region, () => Option.fromNullable(headers["x-amz-bucket-region"])), {
      onNone: () => "Set the bucket's region as `region`",
      onSome: (name) => `The bucket is in ${name}: set that as \`region\``
    })
  }
  const location = headers["location"]
  return status >= 300 && status < 400 && location !== undefined
    ? `It sends on to ${location}, and requests are signed for one place: set as \`endpoint\` where the store itself is`
    : advice[code]
}

/** The failure that an answer is; none for one that is what was asked for. `fine` are the statuses that are. */
export const failureOf = (
  location: string,
  answer: Answer,
  fine: ReadonlyArray<number>
): Option.Option<S3Failure> => {
  const complaint = complaintOf(answer)
  const said = Option.getOrElse(complaint, (): Complaint => ({ code: "", message: "", region: Option.none() }))
  const { code, message } = said
  if (fine.includes(answer.status) && code !== "NoSuchBucket") {
    return answer.status === 200 && Option.isSome(complaint)
      ? Option.some(
        new S3Failure({ location, problem: `it answered 200, and in it ${code}: ${message}`, kind: "passing" })
      )
      : Option.none()
  }
  const what = [code, message].filter((part) => part !== "").join(": ")
  const hint = hintOf(answer, said)
  return Option.some(
    new S3Failure({
      location,
      problem: `it answered ${answer.status}${what === "" ? "" : ` ${what}`}${hint === undefined ? "" : `. ${hint}`}`,
      kind: kindOf(answer.status, code)
    })
  )
}
