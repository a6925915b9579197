/** What is in a bucket, and changes to it, past the library. */
import { AwsClient } from "aws4fetch"
import type { Server } from "./s3.ts"

const clientOf = (server: Server) => new AwsClient({ ...server, service: "s3", retries: 0 })

const urlOf = (server: Server, key: string): string =>
  `${server.endpoint}/${server.bucket}/${key.split("/").map(encodeURIComponent).join("/")}`

/** The keys under a prefix; fewer than a thousand. */
export const keysUnder = async (server: Server, prefix: string): Promise<ReadonlyArray<string>> => {
  const query = new URLSearchParams({ "list-type": "2", prefix }).toString()
  const answer = await clientOf(server).fetch(`${server.endpoint}/${server.bucket}?${query}`)
  return [...(await answer.text()).matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => key ?? "")
}

export const readKey = async (server: Server, key: string): Promise<string> =>
  (await clientOf(server).fetch(urlOf(server, key))).text()

export const writeKey = async (server: Server, key: string, body: string): Promise<void> => {
  const answer = await clientOf(server).fetch(urlOf(server, key), { method: "PUT", body })
  if (!answer.ok) throw new Error(`${key}: ${answer.status}`)
}
