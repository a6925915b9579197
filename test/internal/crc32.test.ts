import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as zlib from "node:zlib"
import { crc32 } from "../../src/internal/crc32.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

/** The checksum bit by bit, as ISO 3309 defines it: the remainder of a division of polynomials. */
const remainder = (input: Uint8Array): string => {
  let register = 0xffffffff
  for (const byte of input) {
    for (let bit = 0; bit < 8; bit++) {
      const out = (register ^ (byte >>> bit)) & 1
      register >>>= 1
      if (out === 1) register = (register ^ 0xedb88320) >>> 0
    }
  }
  return (~register >>> 0).toString(16).padStart(8, "0")
}

describe("crc32", () => {
  it("gives the published values", () => {
    expect(crc32(bytes("123456789"))).toBe("cbf43926")
    expect(crc32(bytes(""))).toBe("00000000")
    expect(crc32(bytes("a"))).toBe("e8b7be43")
    expect(crc32(bytes("The quick brown fox jumps over the lazy dog"))).toBe("414fa339")
    expect(crc32(new Uint8Array(32))).toBe("190a55ad")
    expect(crc32(new Uint8Array(32).fill(0xff))).toBe("ff6cab0b")
  })

  it.prop("is the remainder it is defined as", { input: FastCheck.uint8Array({ maxLength: 300 }) }, ({ input }) => {
    expect(crc32(input)).toBe(remainder(input))
  })

  it("is what zlib computes, where this Node.js shows it", () => {
    const native = "crc32" in zlib ? (input: Uint8Array) => zlib.crc32(input).toString(16).padStart(8, "0") : remainder
    for (let length = 0; length < 2_000; length += 37) {
      const input = Uint8Array.from({ length }, (_, index) => (index * 2_654_435_761) >>> 24)
      expect(crc32(input)).toBe(native(input))
    }
  })

  it.prop(
    "is that of the part it is asked for",
    { before: FastCheck.uint8Array(), input: FastCheck.uint8Array(), after: FastCheck.uint8Array() },
    ({ after, before, input }) => {
      const whole = Uint8Array.from([...before, ...input, ...after])
      expect(crc32(whole, before.length, before.length + input.length)).toBe(crc32(input))
      expect(crc32(whole, before.length)).toBe(crc32(Uint8Array.from([...input, ...after])))
    }
  )

  it.prop("is always eight lower-case hexadecimal digits", { input: FastCheck.uint8Array() }, ({ input }) => {
    expect(crc32(input)).toMatch(/^[0-9a-f]{8}$/)
  })

  it("changes with every bit of a line", () => {
    const line = bytes(`"n":7,"event":{"v":1,"_tag":"TaskPaused"}}`)
    const sums = new Set([crc32(line)])
    for (let bit = 0; bit < line.length * 8; bit++) {
      const flipped = Uint8Array.from(line)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      sums.add(crc32(flipped))
    }
    expect(sums.size).toBe(line.length * 8 + 1)
  })
})
