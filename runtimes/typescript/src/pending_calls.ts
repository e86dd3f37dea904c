/** Calls that wait for their RETURN: which caller it belongs to, and when a call times out. */

import { addAbortAction, removeAbortAction } from "./abort.js";
import type { OperationId } from "./connection.js";
import {
  messageOf,
  RpcError,
  SENDFAILED,
  TIMEOUT,
  UNSERIALIZE_FAILED,
} from "./errors.js";
import { ERROR, unescapeAscii, type Extra } from "./extra.js";
import { GOODBYE_SEQUENCE } from "./message.js";
import type { Decode, Reader } from "./reader.js";

/** What a call is, and who waits for it. */
export interface Caller<R> {
  readonly operation: OperationId;
  readonly peer: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly decode: Decode<R>;
  readonly onReturn: ((extra: Extra) => void) | undefined;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
}

/** One call until it ends, whether it was sent already or not. */
export class PendingCall<R> {
  readonly #caller: Caller<R>;
  readonly #onEnd: () => void;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #onAbort: (() => void) | undefined;
  /** Set when the call is sent, with the calls among which it then is. */
  sequence: number | undefined;
  table: PendingCalls | undefined;

  /** `onEnd` is called once, before the caller learns of the end. */
  constructor(caller: Caller<R>, onEnd: (call: PendingCall<R>) => void) {
    this.#caller = caller;
    this.#onEnd = () => {
      onEnd(this);
    };
    const { signal, timeoutMs } = caller;
    this.#timer = setTimeout(() => {
      this.#timedOut();
    }, timeoutMs);
    if (signal !== undefined) {
      this.#onAbort = () => {
        this.#end(() => {
          caller.reject(signal.reason);
        });
      };
      addAbortAction(signal, this.#onAbort);
    }
  }

  /** The call fails on this side. */
  fail(code: number, text: string, cause?: unknown, closeCode?: number): void {
    const { operation, peer, reject } = this.#caller;
    this.#end(() => {
      reject(new RpcError(code, text, { operation: operation.name, peer, cause, closeCode }));
    });
  }

  /** The call can't be sent. An error of its parameters is told as it is. */
  failWith(error: unknown): void {
    if (error instanceof RpcError) {
      this.fail(error.code, error.text, error.cause);
    } else {
      this.#end(() => {
        this.#caller.reject(error);
      });
    }
  }

  /** The call's RETURN has arrived. */
  complete(errcode: number, extra: Extra, result: Reader): void {
    const { operation, peer, resolve, reject, decode, onReturn } = this.#caller;
    if (errcode !== 0) {
      const details = { side: "remote", operation: operation.name, peer } as const;
      const exception = operation.throws?.(errcode, extra, details);
      const text = unescapeAscii(extra.get(ERROR) ?? "");
      this.#end(() => {
        reject(exception ?? new RpcError(errcode, text, details));
      });
      return;
    }
    let value: R;
    try {
      value = decode(result);
    } catch (cause) {
      const text = `the result does not decode: ${messageOf(cause)}`;
      this.fail(UNSERIALIZE_FAILED, text, cause);
      return;
    }
    this.#end(() => {
      try {
        onReturn?.(extra);
        resolve(value);
      } catch (error) {
        reject(error);
      }
    });
  }

  #timedOut(): void {
    const time = `${this.#caller.timeoutMs} ms`;
    if (this.sequence === undefined) {
      this.fail(SENDFAILED, `the connection was not open within ${time}`);
    } else {
      this.fail(TIMEOUT, `no answer within ${time}`);
    }
  }

  #end(tell: () => void): void {
    clearTimeout(this.#timer);
    if (this.#caller.signal !== undefined && this.#onAbort !== undefined) {
      removeAbortAction(this.#caller.signal, this.#onAbort);
    }
    this.#onEnd();
    tell();
  }
}

/** The calls of a stream by their sequences. */
export class PendingCalls {
  readonly #calls = new Map<number, PendingCall<unknown>>();
  #next = 1;

  get size(): number {
    return this.#calls.size;
  }

  /** Gives a call a sequence that no other call has. */
  add(call: PendingCall<unknown>): number {
    while (this.#next === GOODBYE_SEQUENCE || this.#calls.has(this.#next)) {
      this.#next = (this.#next + 1) >>> 0;
    }
    const sequence = this.#next;
    this.#next = (this.#next + 1) >>> 0;
    this.#calls.set(sequence, call);
    call.sequence = sequence;
    call.table = this;
    return sequence;
  }

  get(sequence: number): PendingCall<unknown> | undefined {
    return this.#calls.get(sequence);
  }

  delete(sequence: number): void {
    this.#calls.delete(sequence);
  }

  /** Fails all calls: the stream has ended. */
  failAll(code: number, text: string, closeCode: number | undefined): void {
    for (const call of [...this.#calls.values()]) {
      call.fail(code, text, undefined, closeCode);
    }
  }
}
