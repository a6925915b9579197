/** CRC-32 as in ISO 3309 and zlib, table-driven after section 8 of RFC 1952. */

const table = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1
  return value
})

/** The checksum of `bytes` from `start` to before `end`, as eight hexadecimal digits. */
export const crc32 = (bytes: Uint8Array, start = 0, end = bytes.length): string => {
  let crc = 0xffffffff
  for (let index = start; index < end; index++) crc = table[(crc ^ bytes[index]!) & 0xff]! ^ (crc >>> 8)
  return ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, "0")
}
