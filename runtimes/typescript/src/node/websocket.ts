/** `ws://` and `wss://` by the package `ws`: Node 20 has neither a client nor a server. */

import type { Socket } from "node:net";
import type { RawData, WebSocket } from "ws";

import { ErrorCode, RpcError } from "../errors.js";
import type { Limits } from "../limits.js";
import type { Opened, Transport } from "../transport.js";
import { forEachFrame, webSocketUrl } from "../websocket.js";
import type { Tls } from "./tls.js";
import { connectError, KEEPALIVE_MS } from "./socket.js";

/** The bytes that a message may have beyond the largest frame: it may hold several frames. */
const MESSAGE_SLACK = 64 << 10;
/** The bytes of a server's refusal that an error quotes. */
const REFUSAL_SIZE = 200;
const SERVICE_UNAVAILABLE = 503;

type Library = typeof import("ws");

/** The package `ws`, which a program that uses WebSocket in Node has to install. */
export async function loadLibrary(): Promise<Library> {
  try {
    return await import("ws");
  } catch (cause) {
    const text = "ws:// and wss:// need the package `ws` in Node: npm install ws";
    throw new RpcError(ErrorCode.ConnectFailed, text, { cause });
  }
}

/** What client and server set: no compression of messages, whose buffers cost much memory. */
export function socketOptions(limits: Limits): { maxPayload: number; perMessageDeflate: false } {
  return { maxPayload: limits.maxFrame + MESSAGE_SLACK, perMessageDeflate: false };
}

class WebSocketTransport implements Transport {
  readonly isProbed = true;
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  readonly #sent: () => void;

  constructor(webSocket: WebSocket, socket: Socket, sent: () => void) {
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.#sent = sent;
  }

  get bufferedAmount(): number {
    return this.#webSocket.bufferedAmount;
  }

  write(frames: Uint8Array): void {
    // One write for all messages, instead of one each.
    this.#socket.cork();
    forEachFrame(frames, (frame) => {
      this.#webSocket.send(frame, this.#sent);
    });
    this.#socket.uncork();
  }

  pause(): void {
    this.#webSocket.pause();
  }

  resume(): void {
    this.#webSocket.resume();
  }

  ping(): void {
    this.#webSocket.ping();
  }

  close(): void {
    this.#webSocket.close();
  }

  destroy(): void {
    this.#webSocket.terminate();
  }
}

function bytesOf(data: RawData): Uint8Array {
  if (Array.isArray(data)) {
    return Buffer.concat(data);
  }
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data;
}

/** Uses a WebSocket that is open, over a socket. */
export function useWebSocket(webSocket: WebSocket, socket: Socket, opened: Opened): void {
  socket.setKeepAlive(true, KEEPALIVE_MS);
  let reason: string | undefined;
  const transport = new WebSocketTransport(webSocket, socket, () => {
    if (webSocket.bufferedAmount === 0) {
      events.onDrain();
    }
  });
  const events = opened(transport);
  webSocket.on("error", (error) => {
    reason = error.message;
  });
  webSocket.on("message", (data: RawData, isBinary: boolean) => {
    if (isBinary) {
      events.onBytes(bytesOf(data));
    } else {
      reason = "the peer sent a text message";
      webSocket.terminate();
    }
  });
  webSocket.on("close", (code: number, text: Buffer) => {
    const why = text.length === 0 ? "" : `: ${text.toString()}`;
    events.onClose(reason ?? `the WebSocket was closed (${code}${why})`, code, text.toString());
  });
}

/** Opens a `ws://` or `wss://` endpoint. */
export async function dialWebSocket(
  endpoint: string,
  tls: Tls,
  limits: Limits,
  opened: Opened,
  signal: AbortSignal,
): Promise<void> {
  const { WebSocket } = await loadLibrary();
  signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const options = { ...tls, ...socketOptions(limits) };
    const webSocket = new WebSocket(webSocketUrl(endpoint), options);
    const onAbort = (): void => {
      webSocket.terminate();
      reject(signal.reason as Error);
    };
    const end = (): void => {
      signal.removeEventListener("abort", onAbort);
    };
    signal.addEventListener("abort", onAbort);
    let socket: Socket | undefined;
    webSocket.on("upgrade", (response) => {
      socket = response.socket;
    });
    webSocket.on("unexpected-response", (request, response) => {
      end();
      const { statusCode = 0 } = response;
      void firstLine(response).then((line) => {
        request.destroy();
        const code =
          statusCode === SERVICE_UNAVAILABLE ? ErrorCode.ConnectReject : ErrorCode.ConnectFailed;
        const text = `the server answered HTTP ${statusCode}${line}`;
        reject(new RpcError(code, text, { peer: endpoint }));
      });
    });
    webSocket.on("error", (error) => {
      end();
      reject(connectError(error, endpoint));
    });
    webSocket.on("open", () => {
      end();
      if (socket !== undefined && !signal.aborted) {
        useWebSocket(webSocket, socket, opened);
        resolve();
      }
    });
  });
}

/** The first line of an answer's body, in parentheses. */
async function firstLine(body: AsyncIterable<Buffer>): Promise<string> {
  let text = "";
  try {
    for await (const bytes of body) {
      text += bytes.toString();
      if (text.length >= REFUSAL_SIZE || text.includes("\n")) {
        break;
      }
    }
  } catch {
    // What has arrived is quoted.
  }
  const line = (text.split("\n")[0] ?? "").slice(0, REFUSAL_SIZE).trim();
  return line === "" ? "" : ` (${line})`;
}
