/** `tcp://` and `ssl://`: sockets of Node. */

import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

import { ErrorCode, RpcError } from "../errors.js";
import type { Opened, Transport } from "../transport.js";
import type { Tls } from "./tls.js";
import { formatEndpoint, type Endpoint } from "./endpoint.js";

/** The idle time after which the operating system probes the peer, in milliseconds. */
export const KEEPALIVE_MS = 60_000;
/** How long a peer has to end its side of a socket whose other side has ended. */
const END_TIME_MS = 1_000;
const UNREACHABLE: ReadonlySet<string> = new Set([
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
]);

/** The error of an attempt to connect. */
export function connectError(error: NodeJS.ErrnoException, peer: string): RpcError {
  const code = UNREACHABLE.has(error.code ?? "")
    ? ErrorCode.ConnectUnreachable
    : ErrorCode.ConnectFailed;
  // Attempts at several addresses have an error of their own without a message.
  const text = error.message === "" ? (error.code ?? error.name) : error.message;
  return new RpcError(code, text, { peer, cause: error });
}

/** Opens a socket, with TLS where the scheme has it; rejects with an `RpcError`. */
export function openSocket(
  endpoint: Endpoint,
  tls: Tls,
  signal: AbortSignal,
  use: (socket: Socket) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const { host, port } = endpoint;
    const isTls = endpoint.scheme === "ssl";
    // A server name may not be an IP address.
    const servername = isIP(host) === 0 ? { servername: host } : {};
    const socket = isTls
      ? connectTls({ ...servername, ...tls, host, port })
      : connectTcp({ host, port });
    const onAbort = (): void => {
      socket.destroy();
      reject(signal.reason as Error);
    };
    const onError = (error: Error): void => {
      signal.removeEventListener("abort", onAbort);
      reject(connectError(error, formatEndpoint(endpoint)));
    };
    signal.addEventListener("abort", onAbort);
    socket.on("error", onError);
    socket.once(isTls ? "secureConnect" : "connect", () => {
      signal.removeEventListener("abort", onAbort);
      socket.off("error", onError);
      use(socket);
      resolve();
    });
  });
}

class SocketTransport implements Transport {
  readonly isProbed = true;
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get bufferedAmount(): number {
    return this.#socket.writableLength;
  }

  write(frames: Uint8Array): void {
    if (this.#socket.writable) {
      this.#socket.write(frames);
    }
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.end(() => {
      // A socket that is destroyed before the peer has read all may take bytes back from it.
      const timer = setTimeout(() => this.#socket.destroy(), END_TIME_MS);
      this.#socket.once("close", () => {
        clearTimeout(timer);
      });
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** Uses a socket that is open. */
export function useSocket(socket: Socket, opened: Opened): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEPALIVE_MS);
  let reason = "the peer closed the connection";
  const events = opened(new SocketTransport(socket));
  socket.on("error", (error) => {
    reason = error.message;
  });
  socket.on("data", (bytes: Buffer) => { events.onBytes(bytes); });
  socket.on("drain", () => { events.onDrain(); });
  socket.on("close", () => { events.onClose(reason); });
}
