/** The caller's end of an interface. */

import type { CallOptions, Connection, OperationId } from "./connection.js";
import { addPairs, USER_ID } from "./extra.js";
import { BUILTIN_INTERFACE, DESCRIBE, PING } from "./message.js";
import { decodeSequence, decodeString, decodeVoid, type Decode } from "./reader.js";
import type { Context } from "./servant.js";
import { encodeVoid, type Writer } from "./writer.js";

const STRING_MIN_SIZE = 4;

/** The base of the proxies that generated code declares. */
export class Proxy {
  /** The connection by which the proxy calls. */
  readonly connection: Connection;
  /** What each call has unless its own options say otherwise; extra is merged. */
  readonly defaults: CallOptions | undefined;

  constructor(connection: Connection, defaults?: CallOptions) {
    this.connection = connection;
    this.defaults = defaults;
  }

  #options(options: CallOptions | undefined): CallOptions | undefined {
    const defaults = this.defaults;
    if (defaults === undefined || options === undefined) {
      return options ?? defaults;
    }
    const merged = { ...defaults, ...options };
    if (defaults.extra !== undefined && options.extra !== undefined) {
      const extra = new Map<string, string>();
      addPairs(extra, defaults.extra);
      addPairs(extra, options.extra);
      return { ...merged, extra };
    }
    return merged;
  }

  /** Calls an operation and waits for its RETURN. */
  protected twoway<R>(
    operation: OperationId,
    parameters: (out: Writer) => void,
    result: Decode<R>,
    options: CallOptions | undefined,
  ): Promise<R> {
    return this.connection.call(operation, parameters, result, this.#options(options));
  }

  /** Sends a call without a RETURN. */
  protected oneway(
    operation: OperationId,
    parameters: (out: Writer) => void,
    options: CallOptions | undefined,
  ): void {
    this.connection.oneway(operation, parameters, this.#options(options));
  }
}

/** The options by which a server calls a user through the user's gateway. */
export function toUser(userId: string): CallOptions {
  return { extra: { [USER_ID]: userId } };
}

/**
 * The options by which a servant calls its caller back, also through a gateway:
 * `new ITerminalPrx(ctx.connection, toCaller(ctx))`.
 */
export function toCaller(ctx: Context): CallOptions {
  return ctx.userId === undefined ? {} : toUser(ctx.userId);
}

const PING_OPERATION: OperationId = {
  ifidx: BUILTIN_INTERFACE,
  opidx: PING,
  name: "ping",
};
const DESCRIBE_OPERATION: OperationId = {
  ifidx: BUILTIN_INTERFACE,
  opidx: DESCRIBE,
  name: "describe",
};

/** Whether the peer answers: its built-in `ping`. Older peers do not know it. */
export function ping(connection: Connection, options?: CallOptions): Promise<void> {
  return connection.call(PING_OPERATION, encodeVoid, decodeVoid, options);
}

/** The interfaces that the peer serves, each as an IDL text. */
export function describe(connection: Connection, options?: CallOptions): Promise<string[]> {
  const decodeTexts: Decode<string[]> = (input) =>
    decodeSequence(input, decodeString, STRING_MIN_SIZE);
  return connection.call(DESCRIBE_OPERATION, encodeVoid, decodeTexts, options);
}
