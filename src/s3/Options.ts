/**
 * How an S3-compatible store is reached.
 *
 * @since 0.1.0
 */

import * as Config from "effect/Config"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"

/**
 * Who asks.
 *
 * @since 0.1.0
 * @category models
 */
export interface Credentials {
  readonly accessKeyId: Redacted.Redacted
  readonly secretAccessKey: Redacted.Redacted
  /** For temporary credentials. */
  readonly sessionToken?: Redacted.Redacted | undefined
}

/**
 * Which bucket the store is in, and how it is reached.
 *
 * @since 0.1.0
 * @category options
 */
export interface S3Options {
  readonly bucket: string
  /**
   * What all keys begin with. The same tasks under two prefixes never see each other. The prefix of one may begin with
   * that of another, but not be it with `journal/`, `task/`, `mail/`, `lock/` or `engine/` behind it.
   *
   * @default "checkmate/"
   */
  readonly prefix?: string | undefined
  /**
   * Where the store is, as `https://host:port`.
   *
   * @default that of AWS in the region
   */
  readonly endpoint?: string | undefined
  /**
   * @default "us-east-1"
   */
  readonly region?: string | undefined
  /**
   * Who asks. An effect is asked when the layer is built, and again when the store says that what it gave has expired, is
   * not known or does not fit, so that credentials can be rotated. Then it may take as long as a request, and where it
   * fails it is asked again, as long as `retryFor`.
   *
   * @default those of the environment, see {@link credentialsFromEnvironment}
   */
  readonly credentials?: Credentials | Effect.Effect<Credentials, unknown> | undefined
  /**
   * Whether the bucket stands in the path (`https://host/bucket`) or in front of the host (`https://bucket.host`).
   *
   * @default true with an `endpoint`, false without
   */
  readonly pathStyle?: boolean | undefined
  /**
   * For stores that compare ETags only without their quotes, Ceph among them. The layer says so if yours is one.
   *
   * @default false
   */
  readonly unquotedETags?: boolean | undefined
  /**
   * How long one request may take before it is tried again.
   *
   * @default "15 seconds"
   */
  readonly requestTimeout?: Duration.DurationInput | undefined
  /**
   * How long an operation is tried again while the store cannot be reached, answers 5xx, or asks to slow down: 100
   * milliseconds after the first try, then doubling up to 2 seconds, with jitter. What then fails has taken at most this
   * long, one such pause, and one more try (a `requestTimeout`, or two where a write has to be looked up).
   *
   * @default "30 seconds"
   */
  readonly retryFor?: Duration.DurationInput | undefined
}

/**
 * Credentials of the usual environment variables: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, and
 * `AWS_SESSION_TOKEN` where there is one.
 *
 * @since 0.1.0
 * @category config
 */
export const credentialsFromEnvironment: Config.Config<Credentials> = Config.map(
  Config.all({
    accessKeyId: Config.redacted("AWS_ACCESS_KEY_ID"),
    secretAccessKey: Config.redacted("AWS_SECRET_ACCESS_KEY"),
    sessionToken: Config.option(Config.redacted("AWS_SESSION_TOKEN"))
  }),
  ({ accessKeyId, secretAccessKey, sessionToken }) => ({
    accessKeyId,
    secretAccessKey,
    ...(Option.isSome(sessionToken) ? { sessionToken: sessionToken.value } : {})
  })
)

/** What is set to nothing is not set, as for AWS's own tools. */
const either = (first: string, second: string) =>
  Config.option(Config.orElse(Config.nonEmptyString(first), () => Config.nonEmptyString(second)))

/**
 * All of it from the environment: the bucket is `CHECKMATE_S3_BUCKET`, and, where they are set, `CHECKMATE_S3_PREFIX`,
 * `CHECKMATE_S3_UNQUOTED_ETAGS`, `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, `AWS_REGION` or `AWS_DEFAULT_REGION`, and
 * the credentials as {@link credentialsFromEnvironment} has them.
 *
 * @since 0.1.0
 * @category config
 */
export const fromEnvironment: Config.Config<S3Options> = Config.map(
  Config.all({
    bucket: Config.nonEmptyString("CHECKMATE_S3_BUCKET"),
    prefix: Config.option(Config.string("CHECKMATE_S3_PREFIX")),
    unquotedETags: Config.option(Config.boolean("CHECKMATE_S3_UNQUOTED_ETAGS")),
    endpoint: either("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    region: either("AWS_REGION", "AWS_DEFAULT_REGION")
  }),
  ({ bucket, endpoint, prefix, region, unquotedETags }): S3Options => ({
    bucket,
    credentials: credentialsFromEnvironment,
    ...(Option.isSome(prefix) ? { prefix: prefix.value } : {}),
    ...(Option.isSome(unquotedETags) ? { unquotedETags: unquotedETags.value } : {}),
    ...(Option.isSome(endpoint) ? { endpoint: endpoint.value } : {}),
    ...(Option.isSome(region) ? { region: region.value } : {})
  })
)
