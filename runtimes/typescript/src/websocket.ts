/** The platform's WebSocket, as browsers have it. */

import { CONNECT_FAILED, messageOf, RpcError } from "./errors.js";
import { frameSizeAt } from "./frame.js";
import type { Opened, Transport, TransportEvents } from "./transport.js";

const SCHEME = /^wss?:\/\//i;

/** Calls `send` with each frame: a peer that is an older browser reads one frame a message. */
export function forEachFrame(frames: Uint8Array, send: (frame: Uint8Array) => void): void {
  let at = 0;
  while (at < frames.length) {
    const end = at + frameSizeAt(frames, at);
    send(frames.subarray(at, end));
    at = end;
  }
}

/** The URL of a `ws://` or `wss://` endpoint. Messages over WebSocket are never compressed. */
export function webSocketUrl(endpoint: string): string {
  return endpoint.replace(/\?compress=1$/, "");
}

class WebSocketTransport implements Transport {
  // After a sleep of the machine it may seem open for many minutes.
  readonly isProbed = false;
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  write(frames: Uint8Array): void {
    forEachFrame(frames, (frame) => {
      // The buffer of a writer is an ArrayBuffer.
      this.#socket.send(frame);
    });
  }

  close(): void {
    this.#socket.close();
  }

  destroy(): void {
    // A browser closes at once only where the connection is not open yet.
    this.#socket.onmessage = null;
    this.#socket.close();
  }
}

/** Opens a `ws://` or `wss://` endpoint. */
export function dialWebSocket(
  endpoint: string,
  opened: Opened,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (text: string, cause?: unknown): void => {
      reject(new RpcError(CONNECT_FAILED, text, { peer: endpoint, cause }));
    };
    if (!SCHEME.test(endpoint)) {
      fail("a browser connects to ws:// and wss:// only; `tce/node` adds tcp:// and ssl://");
      return;
    }
    let socket: WebSocket;
    try {
      socket = new WebSocket(webSocketUrl(endpoint));
    } catch (error) {
      fail(messageOf(error), error);
      return;
    }
    socket.binaryType = "arraybuffer";
    const onAbort = (): void => {
      socket.close();
    };
    signal.addEventListener("abort", onAbort);
    let events: TransportEvents | undefined;
    socket.onopen = () => {
      signal.removeEventListener("abort", onAbort);
      if (!signal.aborted) {
        events = opened(new WebSocketTransport(socket));
        resolve();
      }
    };
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (data instanceof ArrayBuffer) {
        events?.onBytes(new Uint8Array(data));
      } else {
        socket.close();
      }
    };
    socket.onclose = ({ code, reason }) => {
      signal.removeEventListener("abort", onAbort);
      const text = `the WebSocket was closed (${code}${reason === "" ? "" : `: ${reason}`})`;
      events?.onClose(text, code, reason);
      fail(`${text}: check the address, and that a TCE server listens there`);
    };
  });
}
