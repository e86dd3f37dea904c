/** Adapters: they accept connections, and serve the calls that arrive there. */

import { createServer as createHttp, STATUS_CODES, type IncomingMessage } from "node:http";
import { createServer as createHttps } from "node:https";
import { createServer as createTcp, Socket, type AddressInfo, type Server } from "node:net";
import { createServer as createTls, type TlsOptions } from "node:tls";
import type { Duplex } from "node:stream";

import type { Connection } from "../connection.js";
import { PeerConnection } from "../peer_connection.js";
import { ErrorCode, RpcError } from "../errors.js";
import { Extra } from "../extra.js";
import {
  BUILTIN_INTERFACE,
  callHeader,
  DESCRIBE,
  GOODBYE_SEQUENCE,
  PING,
  TWOWAY,
} from "../message.js";
import type { Settings } from "../options.js";
import { operation, ServantRegistry, type Servant } from "../servant.js";
import type { Opened } from "../transport.js";
import { encodeSequence, encodeString, encodeVoid } from "../writer.js";
import { formatAddress, formatEndpoint, type Endpoint } from "./endpoint.js";
import { useSocket } from "./socket.js";
import type { Tls } from "./tls.js";
import { loadLibrary, socketOptions, useWebSocket } from "./websocket.js";
import { compressor } from "./zlib.js";

const FULL = "the server has as many connections as it may have; try again later";
const NORMAL_PATH = "/";

/** The connections beyond the limit that are told why they are refused. */
const MAX_REFUSALS = 64;

/** What adapters alone can be set. */
export interface AdapterOptions {
  /** The most connections that an adapter has at once. Default: 16,384. */
  readonly connections?: number;
  /** Whether adapters answer which interfaces they serve. Default: true. */
  readonly describes?: boolean;
  /**
   * The sites whose pages may connect to `ws://` and `wss://`: scheme, host, and the port unless
   * it is the scheme's default. Default: none, which accepts every page. Set it wherever a
   * visitor's network or cookies give access. Clients other than browsers send no origin.
   */
  readonly origins?: readonly string[];
  /** Certificates and keys for `ssl://` and `wss://`, of clients too; see `node:tls`. */
  readonly tls?: Tls;
}

/** The IDL texts of servants, without duplicates. */
function idlsOf(servants: Iterable<Servant>): string[] {
  const texts = new Set([...servants].map((servant) => servant.idl));
  texts.delete("");
  return [...texts].sort();
}

/** The servant of the built-in interface. */
function builtin(servants: ServantRegistry, describes: boolean): Servant {
  const none = (): [] => [];
  const operations = new Map([[PING, operation(none, () => undefined, encodeVoid)]]);
  if (describes) {
    const describe = operation(
      none,
      () => idlsOf(servants.servants),
      (out, texts: string[]) => {
        encodeSequence(out, texts, encodeString);
      },
    );
    operations.set(DESCRIBE, describe);
  }
  return { interfaces: new Map([[BUILTIN_INTERFACE, operations]]), idl: "" };
}

/** An endpoint that listens, and the servants that serve the calls there. */
export class Adapter {
  readonly #settings: Settings;
  readonly #options: Required<AdapterOptions>;
  readonly #servants = new ServantRegistry();
  readonly #connections = new Set<PeerConnection>();
  readonly #listeners = new Set<(connection: Connection) => void>();
  /** Sockets in a handshake, too. */
  readonly #sockets = new Set<Socket>();
  #endpoint: Endpoint;
  #server: Server | undefined;

  private constructor(endpoint: Endpoint, settings: Settings, options: AdapterOptions) {
    this.#endpoint = endpoint;
    this.#settings = settings;
    this.#options = { connections: 1 << 14, describes: true, origins: [], tls: {}, ...options };
    this.#servants.add(builtin(this.#servants, this.#options.describes));
  }

  /** Rejects with CONNECT_FAILED if the port is taken, or certificate or key can't be used. */
  static async listen(
    endpoint: Endpoint,
    settings: Settings,
    options: AdapterOptions,
  ): Promise<Adapter> {
    const adapter = new Adapter(endpoint, settings, options);
    try {
      await adapter.#listen();
    } catch (cause) {
      if (cause instanceof RpcError) {
        throw cause;
      }
      const text = cause instanceof Error ? cause.message : String(cause);
      throw new RpcError(ErrorCode.ConnectFailed, text, { peer: formatEndpoint(endpoint), cause });
    }
    return adapter;
  }

  async #listen(): Promise<void> {
    const { scheme, host, port } = this.#endpoint;
    const tls = { ...this.#options.tls, handshakeTimeout: this.#settings.connectTimeMs };
    const server = await this.#createServer(scheme, tls);
    this.#server = server;
    server.maxConnections = this.#options.connections + MAX_REFUSALS;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      // A socket that fails in its handshake is closed by the server.
      socket.on("error", () => undefined);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, () => {
        server.off("error", reject);
        resolve();
      });
    });
    server.on("error", (error) => {
      this.#settings.log("warn", `${this.endpoint} can't accept a connection`, error);
    });
    this.#endpoint = { ...this.#endpoint, port: (server.address() as AddressInfo).port };
  }

  #createServer(scheme: Endpoint["scheme"], tls: TlsOptions): Promise<Server> | Server {
    switch (scheme) {
      case "tcp":
        return createTcp({ noDelay: true }, (socket) => {
          this.#acceptSocket(socket);
        });
      case "ssl":
        return createTls(tls, (socket) => {
          this.#acceptSocket(socket);
        });
      default:
        return this.#createWebSocketServer(scheme === "wss", tls);
    }
  }

  async #createWebSocketServer(isTls: boolean, tls: TlsOptions): Promise<Server> {
    const { WebSocketServer } = await loadLibrary();
    const options = socketOptions(this.#settings.limits);
    const webSockets = new WebSocketServer({ ...options, noServer: true });
    const { connectTimeMs } = this.#settings;
    const timeouts = { headersTimeout: connectTimeMs, connectionsCheckingInterval: connectTimeMs };
    const http = isTls ? createHttps({ ...tls, ...timeouts }) : createHttp(timeouts);
    http.on("request", (_, response) => {
      response.writeHead(426, { connection: "close" }).end("a WebSocket handshake is needed\n");
    });
    http.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const refusal = this.#refusal(request);
      if (refusal !== undefined) {
        refuseUpgrade(socket, ...refusal);
        return;
      }
      webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        // An HTTP server of the network gets its sockets.
        if (!(socket instanceof Socket)) {
          webSocket.terminate();
          return;
        }
        this.#accept(socket, (opened) => {
          useWebSocket(webSocket, socket, opened);
        });
      });
    });
    return http;
  }

  /** Status and text of the answer to a WebSocket handshake that is refused. */
  #refusal(request: IncomingMessage): [number, string] | undefined {
    const path = request.url?.split("?")[0] ?? NORMAL_PATH;
    if (this.#endpoint.path !== "" && path !== this.#endpoint.path) {
      return [404, "no endpoint has this path"];
    }
    const { origins } = this.#options;
    const { origin } = request.headers;
    if (origin !== undefined && origins.length > 0 && !origins.includes(origin)) {
      return [403, "pages of this site may not connect"];
    }
    return this.#isFull ? [503, FULL] : undefined;
  }

  get #isFull(): boolean {
    return this.#connections.size >= this.#options.connections;
  }

  #acceptSocket(socket: Socket): void {
    const isFull = this.#isFull;
    const connection = this.#accept(socket, (opened) => {
      useSocket(socket, opened);
    });
    if (isFull) {
      sayGoodbye(connection, ErrorCode.ConnectFailed, FULL);
    }
  }

  #accept(socket: Socket, open: (opened: Opened) => void): PeerConnection {
    const address = formatAddress(socket.remoteAddress, socket.remotePort);
    const peer = `${this.#endpoint.scheme}://${address}`;
    const deflate = this.#endpoint.isCompressed ? compressor : undefined;
    const connection = new PeerConnection(peer, this.#settings, this.#servants, deflate);
    this.#connections.add(connection);
    connection.onState((state) => {
      if (state === "closed") {
        this.#connections.delete(connection);
      }
    });
    open((transport) => connection.attach(transport));
    for (const listener of [...this.#listeners]) {
      listener(connection);
    }
    return connection;
  }

  /** The endpoint, with the port that was bound. */
  get endpoint(): string {
    return formatEndpoint(this.#endpoint);
  }

  /** How many connections are open. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Adds a servant; it replaces an earlier one with the same interface index. */
  serve(servant: Servant): this {
    this.#servants.add(servant);
    return this;
  }

  /** Calls `listener` with each connection that is accepted. */
  onConnection(listener: (connection: Connection) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Stops accepting, waits at most `timeoutMs` for calls in flight, then closes the rest. Returns
   * whether everything ended in time.
   */
  async shutdown(timeoutMs: number): Promise<boolean> {
    const closed = new Promise<void>((resolve) => {
      this.#server?.close(() => {
        resolve();
      });
    });
    const drained = [...this.#connections].map((connection) => connection.drain(timeoutMs));
    const areIdle = await Promise.all(drained);
    // Those in a handshake, and keep-alive connections of HTTP.
    this.#sockets.forEach((socket) => socket.destroy());
    await closed;
    return areIdle.every(Boolean);
  }
}

/** Tells the peer why this side closes the connection, and closes it. */
function sayGoodbye(connection: PeerConnection, code: number, text: string): void {
  const header = callHeader(TWOWAY, GOODBYE_SEQUENCE, BUILTIN_INTERFACE, PING);
  connection.stream?.dispatcher.refuse(header, Extra.EMPTY, code, text);
  void connection.close();
}

function refuseUpgrade(socket: Duplex, status: number, text: string): void {
  const body = `${text}\n`;
  socket.on("error", () => undefined);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\nconnection: close\r\n` +
      `content-type: text/plain\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
}
