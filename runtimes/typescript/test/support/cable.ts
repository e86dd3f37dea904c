/** What is between a client and a server, and can be cut. */

import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** Passes bytes on between the clients that connect to it and a server. */
export class Cable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Where clients connect. */
  readonly endpoint: string;

  private constructor(server: Server, endpoint: string) {
    this.#server = server;
    const url = new URL(endpoint);
    const { port } = server.address() as AddressInfo;
    this.endpoint = endpoint.replace(`:${url.port}`, `:${String(port)}`);
    server.on("connection", (client) => {
      const upstream = connect(Number(url.port), url.hostname);
      for (const [from, to] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.#sockets.add(from);
        from.pipe(to);
        from.on("error", () => to.destroy());
        from.on("close", () => {
          this.#sockets.delete(from);
          to.destroy();
        });
      }
    });
  }

  /** To a `tcp://` or `ws://` endpoint. */
  static async to(endpoint: string): Promise<Cable> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Cable(server, endpoint);
  }

  /** Ends all connections at once. */
  cut(): void {
    this.#sockets.forEach((socket) => socket.resetAndDestroy());
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
