/** Exceptions of an IDL: how an error RETURN carries them. */

import type { Throws } from "./connection.js";
import { Fault, messageOf, REMOTE_EXCEPTION, RpcError, type RpcErrorDetails } from "./errors.js";
import { EXCEPTION, EXCEPTION_DATA } from "./extra.js";
import { Reader } from "./reader.js";
import { Writer } from "./writer.js";

/**
 * An exception of an IDL; generated classes extend it. A servant throws it, and the caller of an
 * operation that declares it gets it. Any other caller gets an {@link RpcError} with
 * REMOTE_EXCEPTION and its text. One that a servant gets from a call of its own is an internal
 * error, as any error of a call: the servant throws a new one.
 */
export abstract class UserException extends RpcError {
  /** The full name in the IDL: `module.Name`. */
  override readonly name: string;

  constructor(name: string, detail: string, details?: RpcErrorDetails) {
    super(REMOTE_EXCEPTION, detail === "" ? name : `${name}: ${detail}`, details);
    this.name = name;
  }

  /** Appends the members, in declared order; for the runtime. */
  abstract encodeMembers(out: Writer): void;

  override fault(): Fault | undefined {
    // One that a call of the servant has thrown is an internal error, as any of a call.
    if (this.side === "remote") {
      return undefined;
    }
    const out = new Writer();
    try {
      this.encodeMembers(out);
    } catch (cause) {
      return new Fault(REMOTE_EXCEPTION, `${this.name}: ${messageOf(cause)}`);
    }
    let bytes = "";
    for (const byte of out.take()) {
      bytes += String.fromCharCode(byte);
    }
    const pairs = new Map([
      [EXCEPTION, this.name],
      [EXCEPTION_DATA, btoa(bytes)],
    ]);
    return Object.assign(new Fault(REMOTE_EXCEPTION, this.text), { pairs });
  }
}

/** Reads the members of an exception. */
export type DecodeException = (input: Reader, details: RpcErrorDetails) => UserException;

/** Reads the exceptions that an operation declares, by their full names. */
export function throws(...declared: readonly (readonly [string, DecodeException])[]): Throws {
  return (errcode, extra, details) => {
    const name = errcode === REMOTE_EXCEPTION ? extra.get(EXCEPTION) : undefined;
    const [, decode] = declared.find(([known]) => known === name) ?? [];
    try {
      const bytes = atob(extra.get(EXCEPTION_DATA) ?? "");
      return decode?.(new Reader(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0))), details);
    } catch {
      return undefined;
    }
  };
}
