/** Incoming calls: decode the parameters, run the servant's method, send the RETURN. */

import type { PeerConnection } from "./peer_connection.js";
import { DecodeError, ErrorCode, Fault } from "./errors.js";
import { ERROR, escapeAscii, Extra } from "./extra.js";
import { isOneway, isRouted, returnHeader, type Header } from "./message.js";
import type { Settings } from "./options.js";
import type { Reader } from "./reader.js";
import { Context, deadlineOf, type Operation, type ServantRegistry } from "./servant.js";
import type { WriteBuffer } from "./write_buffer.js";
import { encodeVoid, type Writer } from "./writer.js";

/** The longest error text that is sent, in bytes of UTF-8 before it is escaped. */
const MAX_ERROR_TEXT = 8 << 10;
/** A peer that makes calls and lets this many full buffers of RETURNs wait loses its connection. */
const MAX_FULL_BUFFERS = 4;
/** The most outstanding calls of this side that raise the limit of served calls. */
const MAX_NESTED = 4096;

const utf8 = new TextEncoder();
const NOTHING: ReadonlyMap<string, string> = new Map();

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === "function";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Serves the calls that arrive on a connection. */
export class Dispatcher {
  readonly #connection: PeerConnection;
  readonly #servants: ServantRegistry;
  readonly #buffer: WriteBuffer;
  readonly #settings: Settings;
  /** The number of the transport: a RETURN is never sent by a later one. */
  #generation = 0;
  #served = 0;
  #outstanding = 0;

  constructor(
    connection: PeerConnection,
    servants: ServantRegistry,
    buffer: WriteBuffer,
    settings: Settings,
  ) {
    this.#connection = connection;
    this.#servants = servants;
    this.#buffer = buffer;
    this.#settings = settings;
  }

  /** The calls whose servants have not ended. */
  get served(): number {
    return this.#served;
  }

  /** Whether calls of the peer can't be served now. Calls of this side raise the limit. */
  get isOverloaded(): boolean {
    const limit = this.#settings.servedCalls + Math.min(this.#outstanding, MAX_NESTED);
    return this.#served >= limit || this.#buffer.isFull;
  }

  /** The transport has ended: RETURNs of its calls are dropped. */
  reset(): void {
    this.#generation += 1;
  }

  /** Serves a call. `outstanding` is the number of calls of this side in flight. */
  dispatch(
    header: Header,
    extra: Extra,
    input: Reader,
    isDraining: boolean,
    outstanding: number,
  ): void {
    this.#outstanding = outstanding;
    const operation = this.#servants.operations(header.ifidx)?.get(header.opidx);
    const lateBy = this.#lateness(extra);
    if (lateBy !== undefined) {
      const text = `the call arrived ${lateBy} ms after its deadline and was not executed; \
if that is wrong, the clocks of caller and servant differ`;
      this.refuse(header, extra, ErrorCode.Timeout, text);
    } else if (isDraining) {
      this.refuse(header, extra, ErrorCode.ConnectReject, "the server is shutting down");
    } else if (this.isOverloaded) {
      const text = "more calls are being served than the limit; try again later";
      this.refuse(header, extra, ErrorCode.ConnectReject, text);
    } else if (operation === undefined) {
      this.refuse(header, extra, ErrorCode.InterfaceNotFound, this.#notFound(header));
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
    const deadline = deadlineOf(extra);
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
      this.refuse(header, extra, ErrorCode.UnserializeFailed, text);
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
    const generation = this.#generation;
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
    if (generation === this.#generation) {
      answer();
    }
    this.#connection.onServed();
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
      this.refuse(header, ctx.extra, ErrorCode.RemoteMethodException, text);
    }
  }

  #fail(header: Header, ctx: Context, error: unknown): void {
    if (error instanceof Fault) {
      this.refuse(header, ctx.extra, error.code, error.message);
      return;
    }
    const { ifidx, opidx } = header;
    this.#settings.log("error", `a servant failed in ${ifidx}.${opidx}`, error);
    this.refuse(header, ctx.extra, ErrorCode.RemoteException, "internal error");
  }

  /** Answers with an error; that of a oneway call is logged. */
  refuse(header: Header, extra: Extra, code: number, text: string): void {
    if (isOneway(header)) {
      const { ifidx, opidx } = header;
      this.#settings.log("warn", `a oneway call of ${ifidx}.${opidx} failed: ${text}`);
      return;
    }
    // A servant may have chosen 0, which is success on the wire.
    const errcode = code >>> 0 === 0 ? ErrorCode.RemoteException : code >>> 0;
    const { read } = utf8.encodeInto(text, new Uint8Array(MAX_ERROR_TEXT));
    const escaped = escapeAscii(text.slice(0, read).toWellFormed());
    try {
      this.#send(header, errcode, extra, new Map([[ERROR, escaped]]), encodeVoid);
    } catch {
      // The text may exceed a small limit of a frame, or what the extra of the call leaves of the
      // limits; the code alone does not.
      this.#send(header, errcode, extra, NOTHING, encodeVoid);
    }
  }

  #send(
    header: Header,
    errcode: number,
    extra: Extra,
    added: ReadonlyMap<string, string>,
    result: (out: Writer) => void,
  ): void {
    if (this.#buffer.buffered >= this.#settings.sendBuffer * MAX_FULL_BUFFERS) {
      this.#connection.abort("the peer calls, and does not read what it is answered");
      return;
    }
    const routed = isRouted(header) ? extra : Extra.EMPTY;
    const { maxExtraBytes, maxExtraEntries } = this.#settings.limits;
    this.#buffer.frame(returnHeader(header, errcode), (out) => {
      const start = out.length;
      routed.encodeWith(out, added);
      // Its peer would refuse the message, and the caller wait until its timeout.
      const isTooLarge =
        out.length - start > maxExtraBytes || routed.size + added.size > maxExtraEntries;
      if (added.size > 0 && isTooLarge) {
        throw new RangeError("the extra of the RETURN is larger than peers accept");
      }
      result(out);
    });
  }
}
