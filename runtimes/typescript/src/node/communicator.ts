/** The communicator of Node: sockets, and adapters. */

import { Communicator as BrowserCommunicator, type Route } from "../communicator.js";
import type { Options } from "../options.js";
import { Adapter, type AdapterOptions } from "./adapter.js";
import { parseEndpoint } from "./endpoint.js";
import { openSocket, useSocket } from "./socket.js";
import { dialWebSocket } from "./websocket.js";
import { compressor, inflate } from "./zlib.js";

const DEFAULT_SHUTDOWN_MS = 10_000;

/** The options of a communicator in Node. */
export interface NodeOptions extends Options, AdapterOptions {}

/**
 * Options, connections and adapters of a program. It connects to `tcp://host:port`,
 * `ssl://host:port`, `ws://host:port/path` and `wss://host:port/path`, and listens on them;
 * WebSocket needs the package `ws`.
 */
export class Communicator extends BrowserCommunicator {
  readonly #adapterOptions: AdapterOptions;
  readonly #adapters = new Set<Adapter>();

  constructor(options: NodeOptions = {}) {
    const { connections, describes, origins, tls, ...shared } = options;
    super(shared, inflate);
    this.#adapterOptions = {
      ...(connections !== undefined && { connections }),
      ...(describes !== undefined && { describes }),
      ...(origins !== undefined && { origins }),
      ...(tls !== undefined && { tls }),
    };
  }

  protected override route(text: string): Route {
    const endpoint = parseEndpoint(text);
    const { tls = {} } = this.#adapterOptions;
    if (endpoint.scheme === "ws" || endpoint.scheme === "wss") {
      const { limits } = this.settings;
      return { dial: (opened, signal) => dialWebSocket(text, tls, limits, opened, signal) };
    }
    return {
      dial: async (opened, signal) => {
        await openSocket(endpoint, tls, signal, (socket) => {
          useSocket(socket, opened);
        });
      },
      deflate: endpoint.isCompressed ? compressor : undefined,
    };
  }

  /**
   * Accepts connections at an endpoint, with port 0 at any free one. Calls are served from then
   * on: a servant that is added in the same turn misses none.
   *
   * Rejects with CONNECT_FAILED if the endpoint is malformed, the port is taken, or certificate
   * or key can't be used.
   */
  async listen(text: string): Promise<Adapter> {
    const adapter = await Adapter.listen(parseEndpoint(text), this.settings, this.#adapterOptions);
    this.#adapters.add(adapter);
    return adapter;
  }

  override async shutdown(timeoutMs = DEFAULT_SHUTDOWN_MS): Promise<boolean> {
    const adapters = [...this.#adapters].map((adapter) => adapter.shutdown(timeoutMs));
    const areIdle = await Promise.all([...adapters, super.shutdown(timeoutMs)]);
    return areIdle.every(Boolean);
  }
}
