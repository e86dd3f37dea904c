/** Exceptions of an IDL: how an error RETURN carries them. */

import { REMOTE_EXCEPTION, RpcError, type RpcErrorDetails } from "./errors.js";
import { EXCEPTION, EXCEPTION_DATA, type Extra } from "./extra.js";
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
}

/** Reads the members of an exception. */
export type DecodeException = (input: Reader, details: RpcErrorDetails) => UserException;

/** The exceptions that an operation declares, by their full names. */
export type Throws = readonly (readonly [name: string, decode: DecodeException])[];

/** The pairs of an error RETURN that carry an exception. */
export function exceptionPairs(exception: UserException): Map<string, string> {
  const out = new Writer();
  exception.encodeMembers(out);
  let bytes = "";
  for (const byte of out.take()) {
    bytes += String.fromCharCode(byte);
  }
  return new Map([
    [EXCEPTION, exception.name],
    [EXCEPTION_DATA, btoa(bytes)],
  ]);
}

/** The exception of an error RETURN, if the operation declares it and its members decode. */
export function exceptionOf(
  extra: Extra,
  declared: Throws | undefined,
  details: RpcErrorDetails,
): UserException | undefined {
  const name = declared === undefined ? undefined : extra.get(EXCEPTION);
  const [, decode] = declared?.find(([known]) => known === name) ?? [];
  try {
    const bytes = atob(extra.get(EXCEPTION_DATA) ?? "");
    return decode?.(new Reader(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0))), details);
  } catch {
    return undefined;
  }
}
