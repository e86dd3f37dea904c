/** What all connections of a program share. */

import { Client } from "./client.js";
import type { Connection } from "./connection.js";
import { PeerConnection } from "./peer_connection.js";
import type { Inflate } from "./inflate.js";
import { settingsOf, type Options, type Settings } from "./options.js";
import { ServantRegistry } from "./servant.js";
import type { Dial } from "./transport.js";
import { dialWebSocket } from "./websocket.js";
import type { Deflate } from "./write_buffer.js";

const DEFAULT_SHUTDOWN_MS = 10_000;

/** How an endpoint is reached. */
export interface Route {
  readonly dial: Dial;
  readonly deflate?: Deflate | undefined;
}

/** Options and shutdown of all connections of a program. */
export class Communicator {
  /** The options with their defaults. */
  protected readonly settings: Settings;
  readonly #connections = new Set<PeerConnection>();

  /** `inflate` is for platforms with a faster one. */
  constructor(options: Options = {}, inflate?: Inflate) {
    this.settings = settingsOf(options, inflate);
  }

  /** How `endpoint` is reached. Throws CONNECT_FAILED if it is malformed. */
  protected route(endpoint: string): Route {
    return { dial: (opened, signal) => dialWebSocket(endpoint, opened, signal) };
  }

  /**
   * Connects to an endpoint, in browsers `ws://host:port/path` or `wss://host:port/path`, and
   * stays connected: a lost connection is opened again after a pause of 50 ms to 5 s, growing and
   * jittered. A call on a lost connection asks for an attempt at once, and fails with it. After a
   * peer has refused the connection, only a call connects again.
   *
   * Rejects with CONNECT_UNREACHABLE, CONNECT_FAILED or CONNECT_REJECT if the first attempt fails.
   */
  async connect(endpoint: string): Promise<Connection> {
    const { dial, deflate } = this.route(endpoint);
    const servants = new ServantRegistry();
    const connection = new PeerConnection(endpoint, this.settings, servants, deflate);
    connection.onState((state) => {
      if (state === "closed") {
        this.#connections.delete(connection);
      }
    });
    this.#connections.add(connection);
    try {
      await new Client(connection, dial, this.settings).open();
    } catch (error) {
      await connection.close();
      throw error;
    }
    return connection;
  }

  /**
   * Refuses further calls of peers, waits at most `timeoutMs` for what is in flight, and closes
   * all connections. Returns whether all of it ended in time.
   */
  async shutdown(timeoutMs = DEFAULT_SHUTDOWN_MS): Promise<boolean> {
    const drained = [...this.#connections].map((connection) => connection.drain(timeoutMs));
    return (await Promise.all(drained)).every(Boolean);
  }
}
