/**
 * One connection to a peer, for calls in both directions. It outlives its streams: a client
 * attaches another one after each reconnect.
 */

import type {
  CallOptions,
  ConnectionState,
  OperationId,
  ResumedListener,
  StateListener,
} from "./connection.js";
import {
  CONNECT_REJECT,
  CONNECTION_LOST,
  ENDED,
  errorName,
  REFUSED,
  REPLACED,
  RpcError,
  SENDFAILED,
  TRY_LATER,
} from "./errors.js";
import { addPairs, DEADLINE, encodePairs, NO_PAIRS, type Extra, type ExtraInit } from "./extra.js";
import {
  BUILTIN_INTERFACE,
  callHeader,
  ONEWAY,
  TWOWAY,
  type Header,
} from "./message.js";
import { checkTime, type Settings } from "./options.js";
import { PendingCall } from "./pending_calls.js";
import type { PushCursor } from "./push_cursor.js";
import { decodeVoid, type Decode } from "./reader.js";
import type { Servant, ServantRegistry } from "./servant.js";
import { Stream, type Goodbye, type StreamOwner } from "./stream.js";
import type { Transport, TransportEvents } from "./transport.js";
import type { Deflate } from "./write_buffer.js";
import { encodeVoid, Writer } from "./writer.js";

/** How long bytes that wait may take to leave when a connection is closed. */
const CLOSE_TIME_MS = 5_000;
/** How often it is looked whether a stream or a connection is idle that is to be closed. */
const DRAIN_EVERY_MS = 10;

function nextCheck(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, DRAIN_EVERY_MS));
}

/** What opens transports for a connection. */
export interface Connector {
  /** A call needs a transport now. */
  request(): void;
  /** Logs in on a stream, by {@link PeerConnection.callBuiltin}. */
  logIn(stream: Stream): Promise<void>;
  /** The stream in use has ended. */
  lost(goodbye: Goodbye | undefined): void;
  /** The connection is closed. */
  stop(): void;
}

/** A call that waits for a transport. */
interface WaitingCall {
  readonly header: Header;
  readonly parameters: Uint8Array;
  readonly options: CallOptions | undefined;
  readonly deadline: number | undefined;
}

/** The connection itself; programs see it as `Connection`. */
export class PeerConnection implements StreamOwner {
  readonly peer: string;
  readonly settings: Settings;
  readonly #servants: ServantRegistry;
  readonly #deflate: Deflate | undefined;
  readonly #listeners = new Set<StateListener>();
  readonly #resumedListeners = new Set<ResumedListener>();
  readonly #waiting = new Map<PendingCall<unknown>, WaitingCall>();
  #waitingBytes = 0;
  #state: ConnectionState = "connecting";
  /** The stream in use. */
  stream: Stream | undefined;
  /** Streams that were left, on which calls have not ended. */
  readonly #left = new Set<Stream>();
  #connector: Connector | undefined;
  /** Set by the connector. */
  cursor: PushCursor | undefined;
  closeCode: number | undefined;
  recovered: boolean | undefined;
  /** Why the last stream has ended. */
  #lostBy = "";
  isDraining = false;
  #closed: Promise<void> | undefined;
  #onClosed: (() => void) | undefined;

  constructor(peer: string, settings: Settings, servants: ServantRegistry, deflate?: Deflate) {
    this.peer = peer;
    this.settings = settings;
    this.#servants = servants;
    this.#deflate = deflate;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get bufferedAmount(): number {
    return this.stream?.buffer.buffered ?? 0;
  }

  serve(servant: Servant): this {
    this.#servants.add(servant);
    return this;
  }

  onState(listener: StateListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onResumed(listener: ResumedListener): () => void {
    this.#resumedListeners.add(listener);
    return () => this.#resumedListeners.delete(listener);
  }

  #setState(state: ConnectionState, reason: string): void {
    this.#state = state;
    this.#tell(this.#listeners, state, reason);
  }

  /** Reads from the RETURN of a login which pushes follow. */
  resume(returned: Extra): void {
    this.recovered = this.cursor?.loggedIn(returned);
    if (this.recovered !== undefined) {
      this.#tell(this.#resumedListeners, this.recovered);
    }
  }

  #tell<A extends unknown[]>(listeners: Iterable<(...event: A) => void>, ...event: A): void {
    for (const listener of [...listeners]) {
      try {
        listener(...event);
      } catch (error) {
        this.settings.log("error", "a listener of a connection failed", error);
      }
    }
  }

  // Streams.

  /** Sets what opens further transports; without one the connection ends with its first. */
  set connector(connector: Connector) {
    this.#connector = connector;
  }

  /** Uses an open transport. The login precedes the first call, or {@link logIn} sends it. */
  attach(
    transport: Transport,
    credentials: ReadonlyMap<string, string> = NO_PAIRS,
  ): TransportEvents {
    const left = this.stream;
    const stream = new Stream(this, transport, this.#servants, this.#deflate, credentials);
    stream.needsLogin = credentials.size > 0 || this.cursor !== undefined;
    this.stream = stream;
    this.closeCode = undefined;
    if (left !== undefined) {
      this.#left.add(left);
      void this.#finish(left);
    }
    this.#setState("open", "connected");
    this.#sendWaiting();
    return stream;
  }

  /** Closes a stream that was left when what is in flight on it has ended. */
  async #finish(stream: Stream): Promise<void> {
    // Calls have deadlines of their own, servants have none.
    const end = Date.now() + this.settings.timeoutMs;
    while (!stream.hasEnded && (stream.calls.size > 0 || (stream.hasWork && Date.now() < end))) {
      await nextCheck();
    }
    if (!stream.hasEnded) {
      stream.close();
    }
  }

  /** Logs in on the stream in use, unless a call has done so. */
  logIn(): void {
    const stream = this.stream;
    if (stream?.needsLogin === true) {
      stream.needsLogin = false;
      void this.#connector?.logIn(stream);
    }
  }

  lost(stream: Stream, reason: string): void {
    const { goodbye } = stream;
    const why = this.#why(reason, goodbye);
    this.#left.delete(stream);
    if (stream !== this.stream) {
      stream.calls.failAll(CONNECTION_LOST, why, undefined);
      return;
    }
    this.stream = undefined;
    this.closeCode = goodbye?.closeCode;
    this.#lostBy = why;
    const isLast = this.#connector === undefined || this.#closed !== undefined || this.#isEnded;
    this.#setState(isLast ? "closed" : "connecting", why);
    // A peer that refuses the login has executed no call of the stream.
    const isRefused =
      this.closeCode === REFUSED || this.closeCode === TRY_LATER;
    const code = isRefused ? CONNECT_REJECT : CONNECTION_LOST;
    stream.calls.failAll(code, why, this.closeCode);
    if (isLast) {
      this.#connector?.stop();
      this.#onClosed?.();
    } else {
      this.#connector?.lost(goodbye);
    }
  }

  /** Whether the peer has ended the connection permanently. */
  get #isEnded(): boolean {
    // Two devices that replace each other would do so without an end.
    return this.closeCode === REPLACED || this.closeCode === ENDED;
  }

  #why(reason: string, goodbye: Goodbye | undefined): string {
    if (this.#closed !== undefined) {
      return "closed by this side";
    }
    return goodbye === undefined
      ? reason
      : `the peer closed the connection: ${errorName(goodbye.errcode)}: ${goodbye.text}`;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#connector?.stop();
    this.#failWaiting(SENDFAILED, "the connection is closed");
    this.#left.forEach((left) => {
      left.close();
    });
    const stream = this.stream;
    if (stream === undefined) {
      if (this.#state !== "closed") {
        this.#setState("closed", "closed by this side");
      }
      return;
    }
    const closed = new Promise<void>((resolve) => {
      this.#onClosed = resolve;
    });
    stream.close();
    const timer = setTimeout(() => {
      stream.abort("closed by this side");
    }, CLOSE_TIME_MS);
    await closed;
    clearTimeout(timer);
  }

  /**
   * Refuses further calls of the peer, waits at most `timeoutMs` for what is in flight, and
   * closes. Returns whether all of it ended in time.
   */
  async drain(timeoutMs: number): Promise<boolean> {
    this.isDraining = true;
    const end = Date.now() + timeoutMs;
    while (!this.#isIdle() && Date.now() < end) {
      await nextCheck();
    }
    const isIdle = this.#isIdle();
    await this.close();
    return isIdle;
  }

  #isIdle(): boolean {
    const stream = this.stream;
    const isIdle = stream === undefined || (this.#waiting.size === 0 && !stream.hasWork);
    return isIdle && ![...this.#left].some((left) => left.hasWork);
  }

  // Calls of this side.

  call<R>(
    operation: OperationId,
    parameters: (out: Writer) => void,
    result: Decode<R>,
    options?: CallOptions,
  ): Promise<R> {
    const isLimited = this.settings.hasTimeout || options?.timeoutMs !== undefined;
    return this.#call(this.stream, operation, parameters, result, options, isLimited);
  }

  /** Calls a built-in operation on a stream, without a deadline: clocks may differ. */
  callBuiltin(stream: Stream, opidx: number, name: string, options: CallOptions): Promise<void> {
    const operation = { ifidx: BUILTIN_INTERFACE, opidx, name };
    return this.#call(stream, operation, encodeVoid, decodeVoid, options, false);
  }

  #call<R>(
    stream: Stream | undefined,
    operation: OperationId,
    parameters: (out: Writer) => void,
    result: Decode<R>,
    options: CallOptions | undefined,
    isLimited: boolean,
  ): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      const signal = options?.signal;
      const timeoutMs = options?.timeoutMs ?? this.settings.timeoutMs;
      checkTime(timeoutMs, "timeoutMs");
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      this.#checkCapacity(operation.name);
      const call = new PendingCall<unknown>(
        {
          operation,
          peer: this.peer,
          timeoutMs,
          signal,
          decode: result,
          onReturn: options?.onReturn,
          resolve: resolve as (result: unknown) => void,
          reject,
        },
        (ended) => {
          this.#forget(ended);
        },
      );
      try {
        const { ifidx, opidx } = operation;
        const deadline = isLimited ? Date.now() + timeoutMs : undefined;
        const header = callHeader(TWOWAY, stream?.calls.add(call) ?? 0, ifidx, opidx);
        if (stream !== undefined) {
          this.#send(stream, header, parameters, options, deadline);
        } else {
          this.#wait(call, header, parameters, options, deadline);
        }
      } catch (error) {
        call.failWith(error);
      }
    });
  }

  #wait(
    call: PendingCall<unknown>,
    header: Header,
    parameters: (out: Writer) => void,
    options: CallOptions | undefined,
    deadline: number | undefined,
  ): void {
    const out = new Writer();
    parameters(out);
    const bytes = out.take();
    this.#waitingBytes += bytes.length;
    this.#waiting.set(call, { header, parameters: bytes, options, deadline });
    this.#connector?.request();
  }

  #forget(call: PendingCall<unknown>): void {
    if (call.sequence !== undefined) {
      call.table?.delete(call.sequence);
    }
    const waiting = this.#waiting.get(call);
    if (waiting !== undefined) {
      this.#waitingBytes -= waiting.parameters.length;
      this.#waiting.delete(call);
    }
  }

  oneway(operation: OperationId, parameters: (out: Writer) => void, options?: CallOptions): void {
    options?.signal?.throwIfAborted();
    const { ifidx, opidx, name } = operation;
    this.#checkCapacity(name);
    const stream = this.stream;
    if (stream === undefined) {
      this.#connector?.request();
      const text = "the connection is not open";
      throw new RpcError(SENDFAILED, text, { operation: name, peer: this.peer });
    }
    try {
      this.#send(stream, callHeader(ONEWAY, 0, ifidx, opidx), parameters, options);
    } catch (error) {
      throw error instanceof RpcError
        ? new RpcError(error.code, error.text, { operation: name, peer: this.peer })
        : error;
    }
  }

  /** Throws SENDFAILED where a call can't be sent, nor wait, or why the peer has refused it. */
  #checkCapacity(operation: string): void {
    const { callsInFlight, sendBuffer } = this.settings;
    const { closeCode } = this;
    const stream = this.stream;
    let code: number = SENDFAILED;
    let text: string;
    if (this.#isEnded) {
      code = CONNECT_REJECT;
      text = this.#lostBy;
    } else if (this.#closed !== undefined || this.#state === "closed") {
      text = "the connection is closed";
    } else if ((stream?.calls.size ?? 0) + this.#waiting.size >= callsInFlight) {
      text = `${callsInFlight} calls are in flight, the limit`;
    } else if (stream?.buffer.isFull === true || this.#waitingBytes >= sendBuffer) {
      text = `${sendBuffer} bytes wait to be sent, the limit`;
    } else {
      return;
    }
    throw new RpcError(code, text, { operation, peer: this.peer, closeCode });
  }

  #send(
    stream: Stream,
    header: Header,
    parameters: (out: Writer) => void,
    options?: CallOptions,
    deadline?: number,
  ): void {
    if (stream.needsLogin) {
      this.logIn();
    }
    stream.buffer.frame(header, (out) => {
      encodeExtra(out, stream.credentials, options?.extra, deadline);
      parameters(out);
    });
    if (header.ifidx !== BUILTIN_INTERFACE) {
      stream.credentials = NO_PAIRS;
    }
    stream.onProgress();
  }

  #sendWaiting(): void {
    for (const [call, waiting] of [...this.#waiting]) {
      const stream = this.stream;
      if (stream === undefined) {
        return;
      }
      this.#waitingBytes -= waiting.parameters.length;
      this.#waiting.delete(call);
      const header = { ...waiting.header, sequence: stream.calls.add(call) };
      try {
        this.#send(
          stream,
          header,
          (out) => {
            out.put(waiting.parameters);
          },
          waiting.options,
          waiting.deadline,
        );
      } catch (error) {
        call.failWith(error);
      }
    }
  }

  #failWaiting(code: number, text: string): void {
    for (const call of [...this.#waiting.keys()]) {
      call.fail(code, text);
    }
  }

  /** An attempt to open a transport has failed, and with it the calls that have waited for it. */
  attemptFailed(code: number, text: string): void {
    if (this.stream === undefined) {
      this.#failWaiting(code, text);
      this.#setState("connecting", text);
    }
  }
}

function encodeExtra(
  out: Writer,
  credentials: ReadonlyMap<string, string>,
  extra: ExtraInit | undefined,
  deadline: number | undefined,
): void {
  if (credentials.size === 0 && extra === undefined && deadline === undefined) {
    out.u32(0);
    return;
  }
  const pairs = new Map(credentials);
  if (extra !== undefined) {
    addPairs(pairs, extra);
  }
  if (deadline !== undefined) {
    pairs.set(DEADLINE, String(Math.floor(deadline)));
  }
  encodePairs(out, pairs);
}
