/** Opens the transports of a client's connection, again after each loss. */

import type { Connector, PeerConnection } from "./peer_connection.js";
import {
  CONNECT_FAILED,
  CONNECT_REJECT,
  LOGIN_EXPIRED,
  messageOf,
  RpcError,
  TRY_LATER,
} from "./errors.js";
import { DEVICE_ID, EXPIRES_IN, Extra, NO_PAIRS, RESUME, TOKEN, type ExtraInit } from "./extra.js";
import { BUILTIN_INTERFACE, GO_AWAY, LOGIN, REFRESH } from "./message.js";
import { MAX_TIME_MS, type Settings } from "./options.js";
import { PushCursor } from "./push_cursor.js";
import { decodeInt } from "./reader.js";
import type { Operation } from "./servant.js";
import type { Goodbye, Stream } from "./stream.js";
import type { Dial, Transport, TransportEvents } from "./transport.js";
import { encodeVoid } from "./writer.js";

/** The shortest pause between two attempts, also where calls ask for one. */
const BACKOFF_MIN_MS = 50;
/**
 * The longest pause, jitter included. Pauses start from the shortest again only after a
 * connection that has lasted longer than this.
 */
const BACKOFF_MAX_MS = 5_000;
/** How long a program may take to its first call before the connection logs in by itself. */
const LOGIN_DELAY_MS = 1_000;
/** The text by which a gateway that drains says when its client may come back. */
const COME_BACK = /come back in (\d{1,9}) ms/;

/** The share of a login's time that passes before it is refreshed: at least, and at random. */
const REFRESH_SHARE = 0.7;
const REFRESH_JITTER = 0.2;
/** The shortest pause before a login is refreshed. */
const REFRESH_PAUSE_MS = 1_000;

/** Runs `work` with a time limit; the signal ends it there, too. */
async function within<T>(
  timeMs: number,
  what: string,
  outer: AbortSignal,
  work: (signal: AbortSignal) => T | Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const { signal } = controller;
  const ended = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => {
      reject(signal.reason as Error);
    });
  });
  const onAbort = (): void => {
    controller.abort(outer.reason);
  };
  const timer = setTimeout(() => {
    controller.abort(new RpcError(CONNECT_FAILED, `${what} took longer than ${timeMs} ms`));
  }, timeMs);
  outer.addEventListener("abort", onAbort);
  try {
    outer.throwIfAborted();
    return await Promise.race([work(signal), ended]);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener("abort", onAbort);
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
  #refreshTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(connection: PeerConnection, dial: Dial, settings: Settings) {
    this.#connection = connection;
    this.#dial = dial;
    this.#settings = settings;
    connection.cursor = settings.resume ? new PushCursor() : undefined;
    connection.connector = this;
    const goAway: Operation = {
      decode: decodeInt,
      invoke: (delayMs) => {
        // The transport in use ends when there is another one, and the calls on it have ended.
        this.#schedule(delayMs as number);
      },
      encode: encodeVoid,
    };
    const operations = new Map([[GO_AWAY, goAway]]);
    connection.serve({ interfaces: new Map([[BUILTIN_INTERFACE, operations]]), idl: "" });
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

  lost(goodbye: Goodbye | undefined): void {
    clearTimeout(this.#refreshTimer);
    if (Date.now() - this.#openAt > BACKOFF_MAX_MS) {
      this.#pauseMs = BACKOFF_MIN_MS;
    }
    const comeBackMs = COME_BACK.exec(goodbye?.text ?? "")?.[1];
    if (comeBackMs !== undefined) {
      this.#schedule(Number(comeBackMs));
    } else if (goodbye === undefined || !this.#isRefused(goodbye)) {
      this.#scheduleAfterPause();
    }
  }

  /** Whether the peer would refuse the same login again, so that only a call connects. */
  #isRefused({ errcode, closeCode }: Goodbye): boolean {
    const renewsLogin =
      closeCode === LOGIN_EXPIRED && typeof this.#settings.token === "function";
    return errcode === CONNECT_REJECT && !renewsLogin;
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#loginTimer);
    clearTimeout(this.#refreshTimer);
    this.#stopped.abort(new RpcError(CONNECT_FAILED, "closed by this side"));
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
    if (this.#isConnecting) {
      return;
    }
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
          : { code: CONNECT_FAILED, text: String(error) };
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
      const credentials = await this.#credentials();
      const opened = (transport: Transport): TransportEvents => {
        this.#openAt = Date.now();
        return this.#connection.attach(transport, credentials);
      };
      await within(connectTimeMs, "connecting", signal, (attempt) => this.#dial(opened, attempt));
    } finally {
      this.#isConnecting = false;
    }
  }

  async #credentials(): Promise<Map<string, string>> {
    const { token, deviceId, connectTimeMs } = this.#settings;
    const { signal } = this.#stopped;
    const credentials = new Map<string, string>();
    if (token !== undefined) {
      let text: string;
      try {
        text = await within(connectTimeMs, "the token function", signal, () =>
          typeof token === "string" ? token : token(),
        );
      } catch (cause) {
        signal.throwIfAborted();
        throw new RpcError(CONNECT_FAILED, `there is no token: ${messageOf(cause)}`, { cause });
      }
      credentials.set(TOKEN, text);
    }
    if (deviceId !== undefined) {
      credentials.set(DEVICE_ID, deviceId);
    }
    return credentials;
  }

  /**
   * Says who the user is, and which pushes were handled. Calls are sent behind it without waiting.
   * They carry the token as well until the login is answered: peers exist that do not know it.
   */
  async logIn(stream: Stream): Promise<void> {
    const connection = this.#connection;
    const extra = new Map<string, string>();
    if (connection.cursor !== undefined) {
      extra.set(RESUME, connection.cursor.position);
    }
    clearTimeout(this.#refreshTimer);
    try {
      await this.#call(stream, LOGIN, "login", extra);
    } catch (error) {
      if (stream.hasEnded) {
        return;
      }
      if (error instanceof RpcError && error.code === CONNECT_REJECT) {
        // The peer ends the stream. Unless it says another reason, it may accept the login later.
        const { text } = error;
        stream.goodbye ??= { errcode: CONNECT_FAILED, text, closeCode: TRY_LATER };
      } else {
        // The peer knows no login. It has taken the token from its message, or from a call.
        connection.resume(Extra.EMPTY);
      }
    }
  }

  #call(stream: Stream, opidx: number, name: string, extra: ExtraInit): Promise<void> {
    const onReturn = (returned: Extra): void => {
      // Before the next message is handled.
      if (opidx === LOGIN) {
        stream.credentials = NO_PAIRS;
        this.#connection.resume(returned);
      }
      const expiresIn = returned.getNumber(EXPIRES_IN);
      if (expiresIn !== undefined && typeof this.#settings.token === "function") {
        this.#refresh(stream, expiresIn * 1_000);
      }
    };
    const timeoutMs = this.#settings.connectTimeMs;
    return this.#connection.callBuiltin(stream, opidx, name, { extra, timeoutMs, onReturn });
  }

  /** Sends another token before a login expires, unless another stream is in use then. */
  #refresh(stream: Stream, timeMs: number): void {
    // Clients that have logged in together do not come together.
    const share = REFRESH_SHARE + REFRESH_JITTER * Math.random();
    const pauseMs = Math.min(Math.max(REFRESH_PAUSE_MS, timeMs * share), MAX_TIME_MS);
    const isInUse = (): boolean => stream === this.#connection.stream;
    const refresh = async (): Promise<void> => {
      try {
        const credentials = await this.#credentials();
        if (isInUse()) {
          await this.#call(stream, REFRESH, "refresh", credentials);
        }
      } catch (error) {
        this.#settings.log("warn", "the login is not refreshed", error);
        this.#refresh(stream, timeMs - pauseMs);
      }
    };
    if (isInUse()) {
      this.#refreshTimer = setTimeout(() => void refresh(), pauseMs);
    }
  }
}
