/** Incoming calls: decode the parameters, run the servant's method, send the RETURN. */

import type { Connection } from "./connection.js";
import {
  CONNECT_REJECT,
  DecodeError,
  Fault,
  INTERFACE_NOTFOUND,
  messageOf,
  REMOTE_EXCEPTION,
  REMOTEMETHOD_EXCEPTION,
  TIMEOUT,
  UNSERIALIZE_FAILED,
  type RpcError,
} from "./errors.js";
import { DEADLINE, ERROR, escapeAscii, Extra, NO_PAIRS } from "./extra.js";
import { isOneway, isRouted, returnHeader, type Header } from "./message.js";
import type { Settings } from "./options.js";
import type { PendingCalls } from "./pending_calls.js";
import type { Reader } from "./reader.js";
import { Context, type Operation, type ServantRegistry } from "./servant.js";
import type { WriteBuffer } from "./write_buffer.js";
import { encodeVoid, type Writer } from "./writer.js";

/** The longest error text that is sent, in bytes of UTF-8 before it is escaped. */
const MAX_ERROR_TEXT = 8 << 10;
/** A peer that makes calls and lets this many full buffers of RETURNs wait loses its connection. */
const MAX_FULL_BUFFERS = 4;
/** The most outstanding calls of this side that raise the limit of served calls. */
const MAX_NESTED = 4096;

const utf8 = new TextEncoder();

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === "function";
}

/** The stream on which calls arrive. */
export interface CallSource {
  readonly hasEnded: boolean;
  /** The calls of this side in flight. */
  readonly calls: PendingCalls;
  readonly buffer: WriteBuffer;
  /** Ends the stream at once. */
  abort(reason: string): void;
  /** A servant that was not ready at once has ended. */
  onProgress(): void;
}

/** Serves the calls that arrive on a stream, by which their RETURNs leave. */
export class Dispatcher {
  readonly #connection: Connection;
  readonly #source: CallSource;
  readonly #servants: ServantRegistry;
  readonly #settings: Settings;
  #served = 0;

  constructor(
    connection: Connection,
    source: CallSource,
    servants: ServantRegistry,
    settings: Settings,
  ) {
    this.#connection = connection;
    this.#source = source;
    this.#servants = servants;
    this.#settings = settings;
  }

  /** The calls whose servants have not ended. */
  get served(): number {
    return this.#served;
  }

  /** Whether calls of the peer can't be served now. Calls of this side raise the limit. */
  get isOverloaded(): boolean {
    const { calls, buffer } = this.#source;
    const limit = this.#settings.servedCalls + Math.min(calls.size, MAX_NESTED);
    return this.#served >= limit || buffer.isFull;
  }

  /** Serves a call. */
  dispatch(header: Header, extra: Extra, input: Reader, isDraining: boolean): void {
    const operation = this.#servants.operations(header.ifidx)?.get(header.opidx);
    const lateBy = this.#lateness(extra);
    if (lateBy !== undefined) {
      const text = `the call arrived ${lateBy} ms after its deadline and was not executed`;
      this.refuse(header, extra, TIMEOUT, text);
    } else if (isDraining) {
      this.refuse(header, extra, CONNECT_REJECT, "the server is shutting down");
    } else if (this.isOverloaded) {
      this.refuse(header, extra, CONNECT_REJECT, "too many calls are being served");
    } else if (operation === undefined) {
      this.refuse(header, extra, INTERFACE_NOTFOUND, this.#notFound(header));
    } else {
      this.#run(operation, header, extra, input);
    }
  }

  #notFound({ ifidx, opidx }: Header): string {
    return this.#servants.operations(ifidx) === undefined
      ? `no servant for interface ${ifidx} here`
      : `interface ${ifidx} has no operation ${opidx} here`;
  }

  /** How long ago the deadline of a call has passed, if it has. */
  #lateness(extra: Extra): number | undefined {
    const deadline = extra.getNumber(DEADLINE);
    const lateBy = deadline === undefined ? 0 : Date.now() - deadline;
    return lateBy > this.#settings.deadlineToleranceMs ? lateBy : undefined;
  }

  #run(operation: Operation, header: Header, extra: Extra, input: Reader): void {
    let parameters: unknown;
    try {
      parameters = operation.decode(input);
    } catch (error) {
      if (!(error instanceof DecodeError)) {
        throw error;
      }
      const text = `the parameters don't decode: ${error.message}`;
      this.refuse(header, extra, UNSERIALIZE_FAILED, text);
      return;
    }
    const ctx = new Context(this.#connection, header, extra);
    let result: unknown;
    try {
      result = operation.invoke(parameters, ctx);
    } catch (error) {
      this.#fail(header, ctx, error);
      return;
    }
    if (isThenable(result)) {
      void this.#await(operation, header, ctx, result);
    } else {
      this.#succeed(operation, header, ctx, result);
    }
  }

  async #await(
    operation: Operation,
    header: Header,
    ctx: Context,
    pending: PromiseLike<unknown>,
  ): Promise<void> {
    this.#served += 1;
    let answer: () => void;
    try {
      const result = await pending;
      answer = () => {
        this.#succeed(operation, header, ctx, result);
      };
    } catch (error) {
      answer = () => {
        this.#fail(header, ctx, error);
      };
    }
    this.#served -= 1;
    if (!this.#source.hasEnded) {
      answer();
    }
    this.#source.onProgress();
  }

  #succeed(operation: Operation, header: Header, ctx: Context, result: unknown): void {
    if (isOneway(header)) {
      return;
    }
    try {
      this.#send(header, 0, ctx.extra, ctx.returned, (out) => {
        operation.encode(out, result);
      });
    } catch (error) {
      // The servant has run: the code forbids a retry.
      const { ifidx, opidx } = header;
      this.#settings.log("error", `a result of ${ifidx}.${opidx} can't be sent`, error);
      const text = `the result can't be sent: ${messageOf(error)}`;
      this.refuse(header, ctx.extra, REMOTEMETHOD_EXCEPTION, text);
    }
  }

  #fail(header: Header, ctx: Context, error: unknown): void {
    const fault = (error as Partial<RpcError> | null | undefined)?.fault?.() ?? error;
    if (fault instanceof Fault) {
      this.refuse(header, ctx.extra, fault.code, fault.message, fault.pairs);
      return;
    }
    const { ifidx, opidx } = header;
    this.#settings.log("error", `a servant failed in ${ifidx}.${opidx}`, error);
    this.refuse(header, ctx.extra, REMOTE_EXCEPTION, "internal error");
  }

  /** Answers with an error; that of a oneway call is logged. */
  refuse(
    header: Header,
    extra: Extra,
    code: number,
    text: string,
    pairs = NO_PAIRS,
  ): void {
    if (isOneway(header)) {
      const { ifidx, opidx } = header;
      this.#settings.log("warn", `a oneway call of ${ifidx}.${opidx} failed: ${text}`);
      return;
    }
    // A servant may have chosen 0, which is success on the wire.
    const errcode = code >>> 0 === 0 ? REMOTE_EXCEPTION : code >>> 0;
    const { read } = utf8.encodeInto(text, new Uint8Array(MAX_ERROR_TEXT));
    const escaped = escapeAscii(text.slice(0, read).toWellFormed());
    try {
      this.#send(header, errcode, extra, new Map([[ERROR, escaped], ...pairs]), encodeVoid);
    } catch (cause) {
      if (pairs.size > 0) {
        this.#settings.log("warn", messageOf(cause), cause);
        this.refuse(header, extra, code, text);
        return;
      }
      // The text may exceed a small limit of a frame, or what the extra of the call leaves of the
      // limits; the code alone does not.
      this.#send(header, errcode, extra, pairs, encodeVoid);
    }
  }

  #send(
    header: Header,
    errcode: number,
    extra: Extra,
    added: ReadonlyMap<string, string>,
    result: (out: Writer) => void,
  ): void {
    const { buffer } = this.#source;
    if (buffer.buffered >= this.#settings.sendBuffer * MAX_FULL_BUFFERS) {
      this.#source.abort("the peer calls, and reads no answers");
      return;
    }
    const routed = isRouted(header) ? extra : Extra.EMPTY;
    const { maxExtraBytes, maxExtraEntries } = this.#settings.limits;
    buffer.frame(returnHeader(header, errcode), (out) => {
      const start = out.length;
      routed.encodeWith(out, added);
      // Its peer would refuse the message, and the caller wait until its timeout.
      const isTooLarge =
        out.length - start > maxExtraBytes || routed.size + added.size > maxExtraEntries;
      if (added.size > 0 && isTooLarge) {
        throw new RangeError("the extra of the RETURN is too large");
      }
      result(out);
    });
  }
}
