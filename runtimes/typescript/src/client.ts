/** Opens the transports of a client's connection, again after each loss. */

import type { Connector, PeerConnection } from "./peer_connection.js";
import { ErrorCode, RpcError } from "./errors.js";
import { DEVICE_ID, TOKEN } from "./extra.js";
import type { Settings } from "./options.js";
import type { Dial, Transport, TransportEvents } from "./transport.js";

/** The shortest pause between two attempts, also where calls ask for one. */
const BACKOFF_MIN_MS = 50;
/**
 * The longest pause, jitter included. Pauses start from the shortest again only after a
 * connection that has lasted longer than this.
 */
const BACKOFF_MAX_MS = 5_000;
/** How long a program may take to its first call before the connection logs in by itself. */
const LOGIN_DELAY_MS = 1_000;

/** Runs `work` with a time limit; the signal ends it there, too. */
async function within<T>(
  timeMs: number,
  what: string,
  outer: AbortSignal,
  work: (signal: AbortSignal) => T | Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort: (() => void) | undefined;
  const ended = new Promise<never>((_, reject) => {
    const end = (error: Error): void => {
      controller.abort(error);
      reject(error);
    };
    timer = setTimeout(() => {
      end(new RpcError(ErrorCode.ConnectFailed, `${what} took longer than ${timeMs} ms`));
    }, timeMs);
    onAbort = () => {
      end(outer.reason as Error);
    };
    outer.addEventListener("abort", onAbort);
  });
  try {
    outer.throwIfAborted();
    return await Promise.race([work(controller.signal), ended]);
  } finally {
    clearTimeout(timer);
    if (onAbort !== undefined) {
      outer.removeEventListener("abort", onAbort);
    }
  }
}

export class Client implements Connector {
  readonly #connection: PeerConnection;
  readonly #dial: Dial;
  readonly #settings: Settings;
  readonly #stopped = new AbortController();
  #pauseMs = BACKOFF_MIN_MS;
  #isConnecting = false;
  #attemptAt = 0;
  #openAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #loginTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(connection: PeerConnection, dial: Dial, settings: Settings) {
    this.#connection = connection;
    this.#dial = dial;
    this.#settings = settings;
    connection.connector = this;
  }

  /** The first attempt, whose failure is that of the connection. */
  async open(): Promise<void> {
    await this.#connect();
    // A program adds its servants before it makes the first call, which logs in.
    this.#loginTimer = setTimeout(() => {
      this.#connection.logIn();
    }, LOGIN_DELAY_MS);
  }

  request(): void {
    if (!this.#isConnecting) {
      this.#schedule(this.#attemptAt + BACKOFF_MIN_MS - Date.now());
    }
  }

  lost(_reason: string, wasRefused: boolean): void {
    if (Date.now() - this.#openAt > BACKOFF_MAX_MS) {
      this.#pauseMs = BACKOFF_MIN_MS;
    }
    // After a refusal, a login that is refused again would be the result: only a call asks.
    if (!wasRefused) {
      this.#scheduleAfterPause();
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#loginTimer);
    this.#stopped.abort(new RpcError(ErrorCode.ConnectFailed, "closed by this side"));
  }

  #scheduleAfterPause(): void {
    // Jitter adds up to the pause itself: all clients of a server that restarts come at once else.
    this.#schedule(this.#pauseMs * (1 + Math.random()));
    this.#pauseMs = Math.min(this.#pauseMs * 2, BACKOFF_MAX_MS / 2);
  }

  #schedule(afterMs: number): void {
    clearTimeout(this.#timer);
    if (!this.#stopped.signal.aborted) {
      this.#timer = setTimeout(() => void this.#reconnect(), Math.max(0, afterMs));
    }
  }

  async #reconnect(): Promise<void> {
    try {
      await this.#connect();
      this.#connection.logIn();
    } catch (error) {
      if (this.#stopped.signal.aborted) {
        return;
      }
      const { code, text } =
        error instanceof RpcError
          ? error
          : { code: ErrorCode.ConnectFailed, text: String(error) };
      this.#connection.attemptFailed(code, text);
      this.#scheduleAfterPause();
    }
  }

  async #connect(): Promise<void> {
    this.#isConnecting = true;
    this.#attemptAt = Date.now();
    const { connectTimeMs } = this.#settings;
    const { signal } = this.#stopped;
    try {
      const credentials = await this.#credentials(connectTimeMs, signal);
      const opened = (transport: Transport): TransportEvents => {
        this.#openAt = Date.now();
        return this.#connection.attach(transport, credentials);
      };
      await within(connectTimeMs, "connecting", signal, (attempt) => this.#dial(opened, attempt));
    } finally {
      this.#isConnecting = false;
    }
  }

  async #credentials(timeMs: number, signal: AbortSignal): Promise<Map<string, string>> {
    const { token, deviceId } = this.#settings;
    const credentials = new Map<string, string>();
    if (token !== undefined) {
      let text: string;
      try {
        text = await within(timeMs, "the token function", signal, () =>
          typeof token === "string" ? token : token(),
        );
      } catch (cause) {
        signal.throwIfAborted();
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new RpcError(ErrorCode.ConnectFailed, `there is no token: ${why}`, { cause });
      }
      credentials.set(TOKEN, text);
    }
    if (deviceId !== undefined) {
      credentials.set(DEVICE_ID, deviceId);
    }
    return credentials;
  }
}
