/**
 * One connection to a peer, for calls in both directions. It outlives its transports: a client
 * attaches another one after each reconnect.
 */

import type {
  CallOptions,
  Connection,
  ConnectionState,
  OperationId,
  StateListener,
} from "./connection.js";
import { Dispatcher } from "./dispatch.js";
import { DecodeError, ErrorCode, errorName, FrameError, RpcError } from "./errors.js";
import {
  addPairs,
  DEADLINE,
  encodePairs,
  ERROR,
  Extra,
  unescapeAscii,
} from "./extra.js";
import { Deframer } from "./frame.js";
import {
  BUILTIN_INTERFACE,
  callHeader,
  decodeHeader,
  GOODBYE_SEQUENCE,
  isCall,
  isReturn,
  MSGTYPE_RPC,
  ONEWAY,
  PING,
  TWOWAY,
  type Header,
} from "./message.js";
import { checkTime, type Settings } from "./options.js";
import { PendingCall, PendingCalls } from "./pending_calls.js";
import { decodeVoid, Reader, type Decode } from "./reader.js";
import type { Servant, ServantRegistry } from "./servant.js";
import type { Transport, TransportEvents } from "./transport.js";
import { Watchdog } from "./watchdog.js";
import { WriteBuffer, type Deflate } from "./write_buffer.js";
import { encodeVoid, Writer } from "./writer.js";

/** Malformed messages after which a connection ends. */
const MAX_MALFORMED = 16;
/** How long bytes that wait may take to leave when a connection is closed. */
const CLOSE_TIME_MS = 5_000;
/** How often a shutdown looks whether a connection is idle. */
const DRAIN_EVERY_MS = 10;

/** What opens transports for a connection. */
export interface Connector {
  /** A call needs a transport now. */
  request(): void;
  /** A transport has ended. A peer that has refused this side does not want it back. */
  lost(reason: string, wasRefused: boolean): void;
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

/** What a peer has told before it closes. */
interface Goodbye {
  readonly code: number;
  readonly text: string;
}

/** The connection itself; programs see it as {@link Connection}. */
export class PeerConnection implements Connection {
  readonly peer: string;
  readonly settings: Settings;
  readonly #servants: ServantRegistry;
  readonly #buffer: WriteBuffer;
  readonly #calls = new PendingCalls();
  readonly #dispatcher: Dispatcher;
  readonly #listeners = new Set<StateListener>();
  readonly #waiting = new Map<PendingCall<unknown>, WaitingCall>();
  #waitingBytes = 0;
  #state: ConnectionState = "connecting";
  #transport: Transport | undefined;
  #connector: Connector | undefined;
  #deframer: Deframer;
  #credentials: ReadonlyMap<string, string> = new Map();
  #hasLoggedIn = true;
  #isPaused = false;
  #isReading = false;
  #isDraining = false;
  #goodbye: Goodbye | undefined;
  #malformed = 0;
  #watchdog: Watchdog | undefined;
  #closed: Promise<void> | undefined;
  #onClosed: (() => void) | undefined;

  constructor(peer: string, settings: Settings, servants: ServantRegistry, deflate?: Deflate) {
    this.peer = peer;
    this.settings = settings;
    this.#servants = servants;
    this.#buffer = new WriteBuffer(settings.sendBuffer, settings.limits.maxFrame, deflate);
    this.#dispatcher = new Dispatcher(this, servants, this.#buffer, settings);
    this.#deframer = new Deframer(settings.limits, settings.inflate);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get bufferedAmount(): number {
    return this.#buffer.buffered;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  serve(servant: Servant): this {
    this.#servants.add(servant);
    return this;
  }

  onState(listener: StateListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #setState(state: ConnectionState, reason: string): void {
    this.#state = state;
    for (const listener of [...this.#listeners]) {
      try {
        listener(state, reason);
      } catch (error) {
        this.settings.log("error", "a listener of a connection's state failed", error);
      }
    }
  }

  // Transports.

  /** Sets what opens further transports; without one the connection ends with its first. */
  set connector(connector: Connector) {
    this.#connector = connector;
  }

  /** Uses an open transport. The first call carries the credentials, or {@link logIn} does. */
  attach(
    transport: Transport,
    credentials: ReadonlyMap<string, string> = new Map(),
  ): TransportEvents {
    this.#credentials = credentials;
    this.#hasLoggedIn = credentials.size === 0;
    this.#transport = transport;
    this.#buffer.attach(transport);
    this.#deframer = new Deframer(this.settings.limits, this.settings.inflate);
    this.#isPaused = false;
    this.#goodbye = undefined;
    this.#malformed = 0;
    this.#watchdog = new Watchdog(
      this,
      transport,
      this.#buffer,
      this.#deframer,
      this.settings,
    );
    this.#setState("open", "connected");
    this.#sendWaiting();
    // A transport that was given up may still report.
    const isCurrent = (): boolean => this.#transport === transport;
    return {
      onBytes: (bytes) => {
        if (isCurrent()) {
          this.#deframer.push(bytes);
          this.#read();
        }
      },
      onDrain: () => {
        if (isCurrent()) {
          this.#resumeReading();
        }
      },
      onClose: (reason) => {
        if (isCurrent()) {
          this.#lose(reason);
        }
      },
    };
  }

  /** Logs in by a oneway `ping`, unless a call has done so. */
  logIn(): void {
    if (this.#state === "open" && !this.#hasLoggedIn) {
      const header = callHeader(ONEWAY, 0, BUILTIN_INTERFACE, PING);
      this.#buffer.frame(header, (out) => {
        encodePairs(out, this.#credentials);
      });
      this.#watchdog?.watch();
    }
  }

  #lose(reason: string): void {
    this.#transport = undefined;
    this.#buffer.detach();
    this.#dispatcher.reset();
    this.#watchdog?.stop();
    const goodbye: Goodbye | undefined = this.#goodbye;
    const why = this.#reason(reason, goodbye);
    const isLast = this.#connector === undefined || this.#closed !== undefined;
    this.#setState(isLast ? "closed" : "connecting", why);
    this.#calls.loseAll(why);
    if (isLast) {
      this.#onClosed?.();
    } else {
      this.#connector?.lost(why, goodbye?.code === ErrorCode.ConnectReject);
    }
  }

  #reason(reason: string, goodbye: Goodbye | undefined): string {
    if (this.#closed !== undefined) {
      return "closed by this side";
    }
    return goodbye === undefined
      ? reason
      : `the peer closed the connection: ${errorName(goodbye.code)}: ${goodbye.text}`;
  }

  /** Ends the transport at once. */
  abort(reason: string): void {
    const transport = this.#transport;
    if (transport !== undefined) {
      this.#lose(reason);
      transport.destroy();
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#connector?.stop();
    const transport = this.#transport;
    this.#failWaiting(ErrorCode.SendFailed, "the connection is closed");
    if (transport === undefined) {
      if (this.#state !== "closed") {
        this.#setState("closed", "closed by this side");
      }
      return;
    }
    const closed = new Promise<void>((resolve) => {
      this.#onClosed = resolve;
    });
    this.#buffer.flush();
    transport.close();
    const timer = setTimeout(() => {
      this.abort("closed by this side");
    }, CLOSE_TIME_MS);
    await closed;
    clearTimeout(timer);
  }

  /**
   * Refuses further calls of the peer, waits at most `timeoutMs` for what is in flight, and
   * closes. Returns whether all of it ended in time.
   */
  async drain(timeoutMs: number): Promise<boolean> {
    this.#isDraining = true;
    const end = Date.now() + timeoutMs;
    while (!this.#isIdle() && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_EVERY_MS));
    }
    const isIdle = this.#isIdle();
    await this.close();
    return isIdle;
  }

  #isIdle(): boolean {
    const hasWork = this.#calls.size > 0 || this.#waiting.size > 0 || this.#dispatcher.served > 0;
    return this.#transport === undefined || (!hasWork && this.#buffer.buffered === 0);
  }

  /** Tells the peer why this side closes the connection, and closes it. */
  sayGoodbye(code: number, text: string): void {
    const header = callHeader(TWOWAY, GOODBYE_SEQUENCE, BUILTIN_INTERFACE, PING);
    this.#dispatcher.refuse(header, Extra.EMPTY, code, text);
    void this.close();
  }

  // Calls of this side.

  call<R>(
    operation: OperationId,
    parameters: (out: Writer) => void,
    result: Decode<R>,
    options?: CallOptions,
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
          operation: operation.name,
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
        const isLimited = this.settings.hasTimeout || options?.timeoutMs !== undefined;
        const deadline = isLimited ? Date.now() + timeoutMs : undefined;
        this.#start(call, operation, parameters, options, deadline);
      } catch (error) {
        call.failWith(error);
      }
    });
  }

  #start(
    call: PendingCall<unknown>,
    operation: OperationId,
    parameters: (out: Writer) => void,
    options: CallOptions | undefined,
    deadline: number | undefined,
  ): void {
    const { ifidx, opidx } = operation;
    if (this.#state === "open") {
      const header = callHeader(TWOWAY, this.#calls.add(call), ifidx, opidx);
      this.#send(header, parameters, options, deadline);
      this.#resumeReading();
      return;
    }
    const header = callHeader(TWOWAY, 0, ifidx, opidx);
    const out = new Writer();
    parameters(out);
    const bytes = out.take();
    this.#waitingBytes += bytes.length;
    this.#waiting.set(call, { header, parameters: bytes, options, deadline });
    this.#connector?.request();
  }

  /** The built-in `ping` of the peer. Older peers do not know it. */
  ping(timeoutMs: number): Promise<void> {
    const operation = { ifidx: BUILTIN_INTERFACE, opidx: PING, name: "ping" };
    return this.call(operation, encodeVoid, decodeVoid, { timeoutMs });
  }

  #forget(call: PendingCall<unknown>): void {
    if (call.sequence !== undefined) {
      this.#calls.delete(call.sequence);
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
    if (this.#state === "connecting") {
      this.#connector?.request();
      const text = "the connection is not open";
      throw new RpcError(ErrorCode.SendFailed, text, { operation: name, peer: this.peer });
    }
    this.#checkCapacity(name);
    try {
      this.#send(callHeader(ONEWAY, 0, ifidx, opidx), parameters, options, undefined);
    } catch (error) {
      throw error instanceof RpcError
        ? new RpcError(error.code, error.text, { operation: name, peer: this.peer })
        : error;
    }
  }

  /** Throws SENDFAILED where a call can't be sent, nor wait. */
  #checkCapacity(operation: string): void {
    const { callsInFlight, sendBuffer } = this.settings;
    let text: string;
    if (this.#closed !== undefined || this.#state === "closed") {
      text = "the connection is closed";
    } else if (this.#calls.size + this.#waiting.size >= callsInFlight) {
      text = `${callsInFlight} calls are in flight, which is the limit`;
    } else if (this.#buffer.isFull || this.#waitingBytes >= sendBuffer) {
      text = `${sendBuffer} bytes wait to be sent, which is the limit`;
    } else {
      return;
    }
    throw new RpcError(ErrorCode.SendFailed, text, { operation, peer: this.peer });
  }

  #send(
    header: Header,
    parameters: (out: Writer) => void,
    options: CallOptions | undefined,
    deadline: number | undefined,
  ): void {
    this.#buffer.frame(header, (out) => {
      this.#encodeExtra(out, options, deadline);
      parameters(out);
    });
    if (header.ifidx !== BUILTIN_INTERFACE) {
      this.#hasLoggedIn = true;
    }
    this.#watchdog?.watch();
  }

  #encodeExtra(
    out: Writer,
    options: CallOptions | undefined,
    deadline: number | undefined,
  ): void {
    const extra = options?.extra;
    if (this.#hasLoggedIn && extra === undefined && deadline === undefined) {
      out.u32(0);
      return;
    }
    const pairs = new Map(this.#hasLoggedIn ? [] : this.#credentials);
    if (extra !== undefined) {
      addPairs(pairs, extra);
    }
    if (deadline !== undefined) {
      pairs.set(DEADLINE, String(Math.floor(deadline)));
    }
    encodePairs(out, pairs);
  }

  #sendWaiting(): void {
    for (const [call, waiting] of [...this.#waiting]) {
      if (this.#state !== "open") {
        return;
      }
      this.#waitingBytes -= waiting.parameters.length;
      this.#waiting.delete(call);
      const header = { ...waiting.header, sequence: this.#calls.add(call) };
      try {
        this.#send(
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
    this.#failWaiting(code, text);
    this.#setState("connecting", text);
  }

  // Messages of the peer.

  /** Handles frames until more bytes are needed, or the peer has to be served later. */
  #read(): void {
    const deframer = this.#deframer;
    if (this.#isReading) {
      return;
    }
    this.#isReading = true;
    try {
      while (this.#transport !== undefined && !this.#shouldPause()) {
        const payload = deframer.next();
        if (payload === undefined) {
          break;
        }
        this.#handle(new Reader(payload.bytes, this.settings.limits, payload.start, payload.end));
      }
    } catch (error) {
      this.#broken(error);
    } finally {
      this.#isReading = false;
    }
    if (this.#transport !== undefined && deframer === this.#deframer) {
      this.#watchdog?.watch();
    }
  }

  #broken(error: unknown): void {
    if (!(error instanceof FrameError)) {
      this.settings.log("error", `a message of ${this.peer} ended its connection`, error);
    } else {
      this.settings.log("warn", `${this.peer}: ${error.message}; the connection is closed`);
    }
    this.abort(error instanceof Error ? error.message : String(error));
  }

  /**
   * Pauses reading while the peer's calls can't be served. Never while a call of this side is in
   * flight: its RETURN could not be read, and both sides might wait for each other. Calls that
   * can't be served then are refused.
   */
  #shouldPause(): boolean {
    const transport = this.#transport;
    const canPause = transport?.pause !== undefined && this.#calls.size === 0;
    const pauses = canPause && this.#dispatcher.isOverloaded;
    if (pauses && !this.#isPaused) {
      this.#isPaused = true;
      transport.pause?.();
      this.#watchdog?.watch();
    }
    return pauses;
  }

  #resumeReading(): void {
    if (!this.#isPaused || this.#isReading || this.#shouldPause()) {
      return;
    }
    this.#isPaused = false;
    // Not within the caller: it has not finished with this connection.
    queueMicrotask(() => {
      this.#read();
      if (!this.#isPaused) {
        this.#transport?.resume?.();
      }
    });
  }

  /** A servant that was not ready at once has ended. */
  onServed(): void {
    this.#resumeReading();
    this.#watchdog?.watch();
  }

  #handle(input: Reader): void {
    let header: Header | undefined;
    let extra: Extra;
    try {
      header = decodeHeader(input);
      extra = Extra.decode(input, this.settings.limits);
    } catch (error) {
      if (!(error instanceof DecodeError)) {
        throw error;
      }
      this.#undecodable(header, error.message);
      return;
    }
    if (header.msgtype !== MSGTYPE_RPC) {
      this.#drop("its type is reserved");
    } else if (isReturn(header)) {
      this.#return(header, extra, input);
    } else if (isCall(header)) {
      this.#dispatcher.dispatch(header, extra, input, this.#isDraining, this.#calls.size);
    } else {
      this.#drop("it is neither CALL nor RETURN");
    }
  }

  #return(header: Header, extra: Extra, result: Reader): void {
    const { sequence, ifidx, errcode } = header;
    if (sequence === GOODBYE_SEQUENCE && ifidx === BUILTIN_INTERFACE && errcode !== 0) {
      this.#goodbye = { code: errcode, text: unescapeAscii(extra.get(ERROR) ?? "") };
      return;
    }
    // The caller of an unknown sequence has stopped waiting.
    this.#calls.get(sequence)?.complete(errcode, extra, result);
  }

  /** Answers a message of which only the header decodes, so that its caller does not wait. */
  #undecodable(header: Header | undefined, text: string): void {
    if (header?.msgtype !== MSGTYPE_RPC) {
      this.#drop(text);
    } else if (isReturn(header)) {
      this.#calls.get(header.sequence)?.fail(ErrorCode.DataDirty, text);
    } else if (isCall(header)) {
      this.#dispatcher.refuse(header, Extra.EMPTY, ErrorCode.DataDirty, text);
    } else {
      this.#drop(text);
    }
  }

  /** A message that makes no sense costs itself; many of them cost the connection. */
  #drop(why: string): void {
    this.#malformed += 1;
    if (this.#malformed === 1) {
      this.settings.log("warn", `dropped a message of ${this.peer}: ${why}`);
    }
    if (this.#malformed >= MAX_MALFORMED) {
      throw new FrameError("too many malformed messages");
    }
  }
}
