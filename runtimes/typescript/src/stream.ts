/** One transport of a connection: calls in both directions, until it ends. */

import type { CallOptions, Connection } from "./connection.js";
import { Dispatcher, type CallSource } from "./dispatch.js";
import {
  CLOSED_NORMALLY,
  CONNECT_FAILED,
  CONNECT_REJECT,
  DATADIRTY,
  DecodeError,
  FrameError,
  messageOf,
  REFUSALS,
  REMOTEMETHOD_EXCEPTION,
} from "./errors.js";
import { CLOSE, ERROR, Extra, unescapeAscii } from "./extra.js";
import { Deframer } from "./frame.js";
import {
  BUILTIN_INTERFACE,
  decodeHeader,
  GOODBYE_SEQUENCE,
  isCall,
  isOneway,
  isReturn,
  MSGTYPE_RPC,
  PING,
  type Header,
} from "./message.js";
import type { Settings } from "./options.js";
import { PendingCalls } from "./pending_calls.js";
import { Reader } from "./reader.js";
import type { ServantRegistry } from "./servant.js";
import type { PushCursor } from "./push_cursor.js";
import type { Transport, TransportEvents } from "./transport.js";
import { Watchdog, type Watched } from "./watchdog.js";
import { WriteBuffer, type Deflate } from "./write_buffer.js";

/** Malformed messages after which a stream ends. */
const MAX_MALFORMED = 16;
/** What platforms report where a close frame has no code, and where none has come. */
const NO_CODE = 1005;
const NO_CLOSE_FRAME = 1006;

/** What a peer has told before it ends a stream. */
export interface Goodbye {
  readonly errcode: number;
  readonly text: string;
  /** Undefined from a peer that knows no close codes. */
  readonly closeCode: number | undefined;
}

/** The connection to which a stream belongs. */
export interface StreamOwner extends Connection {
  readonly settings: Settings;
  readonly isDraining: boolean;
  /** Set where the program asks for resume. */
  readonly cursor: PushCursor | undefined;
  /** The stream in use. */
  readonly stream: Stream | undefined;
  /** The stream has ended. */
  lost(stream: Stream, reason: string): void;
  /** Calls a built-in operation on the stream. */
  callBuiltin(stream: Stream, opidx: number, name: string, options: CallOptions): Promise<void>;
}

/** Reads and writes one transport. */
export class Stream implements CallSource, TransportEvents, Watched {
  readonly calls = new PendingCalls();
  readonly buffer: WriteBuffer;
  readonly dispatcher: Dispatcher;
  /** Sent in each call up to the first one to an interface, or until the login is answered. */
  credentials: ReadonlyMap<string, string>;
  /** Whether the login has not been sent yet. */
  needsLogin = false;
  /** Why the peer ends the stream, once it has said so. */
  goodbye: Goodbye | undefined;
  hasEnded = false;
  isPaused = false;
  readonly #owner: StreamOwner;
  readonly #transport: Transport;
  readonly #deframer: Deframer;
  readonly #watchdog: Watchdog;
  #isReading = false;
  #malformed = 0;

  constructor(
    owner: StreamOwner,
    transport: Transport,
    servants: ServantRegistry,
    deflate: Deflate | undefined,
    credentials: ReadonlyMap<string, string>,
  ) {
    const { settings } = owner;
    const { sendBuffer, limits, inflate } = settings;
    this.#owner = owner;
    this.#transport = transport;
    this.credentials = credentials;
    this.buffer = new WriteBuffer(transport, sendBuffer, limits.maxFrame, deflate);
    this.dispatcher = new Dispatcher(owner, this, servants, settings);
    this.#deframer = new Deframer(limits, inflate);
    this.#watchdog = new Watchdog(this, transport, this.buffer, this.#deframer, settings);
  }

  // A transport that was given up may still report.

  onBytes(bytes: Uint8Array): void {
    if (!this.hasEnded) {
      this.#deframer.push(bytes);
      this.#read();
    }
  }

  onDrain(): void {
    this.#resumeReading();
  }

  onClose(reason: string, code = CLOSED_NORMALLY, text = ""): void {
    if (code > CLOSED_NORMALLY && code !== NO_CODE && code !== NO_CLOSE_FRAME) {
      const errcode = REFUSALS.has(code) ? CONNECT_REJECT : CONNECT_FAILED;
      this.goodbye ??= { errcode, text, closeCode: code };
    }
    this.#end(reason);
  }

  /** Whether a call of either side has not ended, or bytes wait. */
  get hasWork(): boolean {
    return this.calls.size > 0 || this.dispatcher.served > 0 || this.buffer.buffered > 0;
  }

  #end(reason: string): void {
    if (!this.hasEnded) {
      this.hasEnded = true;
      this.buffer.detach();
      this.#watchdog.stop();
      this.#owner.lost(this, reason);
    }
  }

  /** A call was sent, which raises the limit of served calls, or one has been served. */
  onProgress(): void {
    this.#resumeReading();
    this.#watchdog.watch();
  }

  ping(timeoutMs: number): Promise<void> {
    return this.#owner.callBuiltin(this, PING, "ping", { timeoutMs });
  }

  /** Ends the stream at once. */
  abort(reason: string): void {
    this.#end(reason);
    this.#transport.destroy();
  }

  /** Ends the stream after what waits is sent. */
  close(): void {
    this.buffer.flush();
    this.#transport.close();
  }

  /** Handles frames until more bytes are needed, or the peer has to be served later. */
  #read(): void {
    const deframer = this.#deframer;
    if (this.#isReading) {
      return;
    }
    this.#isReading = true;
    try {
      while (!this.hasEnded && !this.#shouldPause()) {
        const payload = deframer.next();
        if (payload === undefined) {
          break;
        }
        const { limits } = this.#owner.settings;
        this.#handle(new Reader(payload.bytes, limits, payload.start, payload.end));
      }
    } catch (error) {
      this.#broken(error);
    } finally {
      this.#isReading = false;
    }
    this.#watchdog.watch();
  }

  #broken(error: unknown): void {
    const { peer, settings } = this.#owner;
    if (!(error instanceof FrameError)) {
      settings.log("error", `a message of ${peer} ended its connection`, error);
    } else {
      settings.log("warn", `${peer}: ${error.message}; the connection is closed`);
    }
    this.abort(messageOf(error));
  }

  /**
   * Pauses reading while the peer's calls can't be served. Never while a call of this side is in
   * flight: its RETURN could not be read, and both sides might wait for each other. Calls that
   * can't be served then are refused.
   */
  #shouldPause(): boolean {
    const transport = this.#transport;
    const canPause = transport.pause !== undefined && this.calls.size === 0;
    const pauses = canPause && this.dispatcher.isOverloaded;
    if (pauses && !this.isPaused) {
      this.isPaused = true;
      transport.pause?.();
      this.#watchdog.watch();
    }
    return pauses;
  }

  /** Reads again, if calls of the peer can be served. */
  #resumeReading(): void {
    if (!this.isPaused || this.#isReading || this.hasEnded || this.#shouldPause()) {
      return;
    }
    this.isPaused = false;
    // Not within the caller: it has not finished with this stream.
    queueMicrotask(() => {
      this.#read();
      if (!this.isPaused && !this.hasEnded) {
        this.#transport.resume?.();
      }
    });
  }

  #handle(input: Reader): void {
    let header: Header | undefined;
    let extra: Extra;
    try {
      header = decodeHeader(input);
      extra = Extra.decode(input, this.#owner.settings.limits);
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
      this.#serve(header, extra, input);
    } else {
      this.#drop("it is neither CALL nor RETURN");
    }
  }

  #serve(header: Header, extra: Extra, input: Reader): void {
    const { cursor, isDraining } = this.#owner;
    if (cursor?.isKept(extra) === true) {
      if (this.dispatcher.isOverloaded) {
        // They come again after the next login.
        this.abort("more pushes than are handled");
        return;
      }
      if (!cursor.accept(extra, this === this.#owner.stream)) {
        if (!isOneway(header)) {
          this.dispatcher.refuse(header, extra, REMOTEMETHOD_EXCEPTION, "handled before");
        }
        return;
      }
    }
    this.dispatcher.dispatch(header, extra, input, isDraining);
  }

  #return(header: Header, extra: Extra, result: Reader): void {
    const { sequence, ifidx, errcode } = header;
    if (sequence === GOODBYE_SEQUENCE && ifidx === BUILTIN_INTERFACE && errcode !== 0) {
      const text = unescapeAscii(extra.get(ERROR) ?? "");
      this.goodbye = { errcode, text, closeCode: extra.getNumber(CLOSE) };
      return;
    }
    // The caller of an unknown sequence has stopped waiting.
    this.calls.get(sequence)?.complete(errcode, extra, result);
  }

  /** Answers a message of which only the header decodes, so that its caller does not wait. */
  #undecodable(header: Header | undefined, text: string): void {
    if (header?.msgtype !== MSGTYPE_RPC) {
      this.#drop(text);
    } else if (isReturn(header)) {
      this.calls.get(header.sequence)?.fail(DATADIRTY, text);
    } else if (isCall(header)) {
      this.dispatcher.refuse(header, Extra.EMPTY, DATADIRTY, text);
    } else {
      this.#drop(text);
    }
  }

  /** A message that makes no sense costs itself; many of them cost the stream. */
  #drop(why: string): void {
    this.#malformed += 1;
    if (this.#malformed === 1) {
      this.#owner.settings.log("warn", `dropped a message of ${this.#owner.peer}: ${why}`);
    }
    if (this.#malformed >= MAX_MALFORMED) {
      throw new FrameError("too many malformed messages");
    }
  }
}
