/** A network between us and a server, which can forget the connections that go through it, and tells nobody. */
import { Effect } from "effect"
import * as net from "node:net"

interface Passing {
  isForgotten: boolean
}

/** The port that leads to a server's, for as long as the Scope. */
export const networkTo = (port: number) =>
  Effect.gen(function*() {
    const all = new Map<Passing, ReadonlyArray<net.Socket>>()
    const server = net.createServer((near) => {
      const far = net.connect(port, "127.0.0.1")
      const passing: Passing = { isForgotten: false }
      all.set(passing, [near, far])
      for (const [from, to] of [[near, far], [far, near]] as const) {
        from.on("data", (bytes) => passing.isForgotten || to.write(bytes))
        from.on("close", () => passing.isForgotten || to.destroy())
        from.on("error", () => {})
      }
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.sync(() => {
          for (const sockets of all.values()) for (const socket of sockets) socket.destroy()
          server.close()
        })
    )
    const address = server.address()
    return {
      port: typeof address === "object" && address !== null ? address.port : 0,
      /** Passes nothing on any more that comes by the connections there are. */
      forget: Effect.sync(() => {
        for (const passing of all.keys()) passing.isForgotten = true
      })
    }
  })
