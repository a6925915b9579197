/** Every option may be undefined, which is what it is where it is left out: also under `exactOptionalPropertyTypes`. */
import type { BindLock, CheckMateEngine } from "effect-checkmate"
import type * as S3 from "effect-checkmate/s3"
import type * as Sql from "effect-checkmate/sql"
import type { CopyOptions } from "effect-checkmate/TaskIO/copy"
import type { EncryptedOptions } from "effect-checkmate/TaskIO/Encrypted"
import type { KeyValueStoreOptions } from "effect-checkmate/TaskIO/KeyValueStore"
import type { Contract, Crashes, Faults, Simulation } from "effect-checkmate/testing"
import type { DescribeOptions } from "effect-checkmate/testing/vitest"
import { describe, expect, test } from "tstyche"

/** The options by name, with those that may be left out undefined. */
type Undefined<Options> = {
  readonly [Name in keyof Options]: {} extends Pick<Options, Name> ? Options[Name] | undefined : Options[Name]
}

interface Input {
  readonly folder: string
}
type CrashOptions = Crashes.Options<Input, unknown, void, never, never, never, never, never, never, never, never>

describe("options that are undefined", () => {
  test("are those that are left out, of an engine and its operations", () => {
    expect<Undefined<CheckMateEngine.Options>>().type.toBeAssignableTo<CheckMateEngine.Options>()
    expect<Undefined<CheckMateEngine.Retention>>().type.toBeAssignableTo<CheckMateEngine.Retention>()
    expect<Undefined<CheckMateEngine.RunOptions<Input>>>().type.toBeAssignableTo<CheckMateEngine.RunOptions<Input>>()
    expect<Undefined<CheckMateEngine.ResumeOptions<Input>>>().type
      .toBeAssignableTo<CheckMateEngine.ResumeOptions<Input>>()
    expect<Undefined<CheckMateEngine.CancelOptions<1, 2>>>().type.toBeAssignableTo<
      CheckMateEngine.CancelOptions<1, 2>
    >()
    expect<Undefined<CheckMateEngine.RollbackOptions>>().type.toBeAssignableTo<CheckMateEngine.RollbackOptions>()
    expect<Undefined<CheckMateEngine.ResumeAllOptions>>().type.toBeAssignableTo<CheckMateEngine.ResumeAllOptions>()
    expect<Undefined<CheckMateEngine.FindOptions>>().type.toBeAssignableTo<CheckMateEngine.FindOptions>()
    expect<Undefined<CheckMateEngine.CleanOptions>>().type.toBeAssignableTo<CheckMateEngine.CleanOptions>()
  })

  test("are those that are left out, of stores and locks", () => {
    expect<Undefined<S3.S3Options>>().type.toBeAssignableTo<S3.S3Options>()
    expect<Undefined<S3.Credentials>>().type.toBeAssignableTo<S3.Credentials>()
    expect<Undefined<S3.LeaseOptions>>().type.toBeAssignableTo<S3.LeaseOptions>()
    expect<Undefined<Sql.LockOptions>>().type.toBeAssignableTo<Sql.LockOptions>()
    expect<Undefined<BindLock.FileSystemOptions>>().type.toBeAssignableTo<BindLock.FileSystemOptions>()
    expect<Undefined<KeyValueStoreOptions>>().type.toBeAssignableTo<KeyValueStoreOptions>()
    expect<Undefined<EncryptedOptions>>().type.toBeAssignableTo<EncryptedOptions>()
    expect<Undefined<CopyOptions>>().type.toBeAssignableTo<CopyOptions>()
  })

  test("are those that are left out, of the testing kit", () => {
    expect<Undefined<CrashOptions>>().type.toBeAssignableTo<CrashOptions>()
    expect<Undefined<Simulation.Options<Input>>>().type.toBeAssignableTo<Simulation.Options<Input>>()
    expect<Undefined<Faults.Occurrence>>().type.toBeAssignableTo<Faults.Occurrence>()
    expect<Undefined<Contract.VerifyOptions<"arrivals">>>().type.toBeAssignableTo<Contract.VerifyOptions<"arrivals">>()
    expect<Undefined<DescribeOptions<"arrivals">>>().type.toBeAssignableTo<DescribeOptions<"arrivals">>()
  })
})
