/** What serves the calls of a peer. */

import type { Connection } from "./connection.js";
import { DEADLINE, REDELIVERED, USER_ID, type Extra } from "./extra.js";
import { isOneway, type Header } from "./message.js";
import type { Decode } from "./reader.js";
import type { Encode } from "./writer.js";

/** One call that is being served: who called, by which connection, with which extra. */
export class Context {
  /** A proxy on it calls the peer back, also after this call has ended. */
  readonly connection: Connection;
  /** The extra of the call: the caller's entries, and those of gateways. */
  readonly extra: Extra;
  /** Whether the caller gets no RETURN. */
  readonly isOneway: boolean;
  /** What {@link Context.returnExtra} has set. */
  readonly returned = new Map<string, string>();

  constructor(connection: Connection, header: Header, extra: Extra) {
    this.connection = connection;
    this.extra = extra;
    this.isOneway = isOneway(header);
  }

  /** The user who called, if the call came through a gateway. */
  get userId(): string | undefined {
    return this.extra.get(USER_ID);
  }

  /** Whether the call may have been executed before. */
  get isRedelivered(): boolean {
    return this.extra.has(REDELIVERED);
  }

  /** When the caller stops waiting, by the clock of the caller's machine, if it said so. */
  get deadline(): Date | undefined {
    const millis = this.extra.getNumber(DEADLINE);
    return millis === undefined ? undefined : new Date(millis);
  }

  /** Sets an entry in the extra of the RETURN. A call that fails returns none. */
  returnExtra(key: string, value: string): void {
    this.returned.set(key, value);
  }
}

/** How an operation of a servant is called. */
export interface Operation {
  decode: Decode<unknown>;
  invoke(parameters: unknown, ctx: Context): unknown;
  encode: Encode<unknown>;
}

/** What a method of a servant returns. */
export type Result<T> = T | Promise<T>;

/** The parameters of an operation without any. */
export function decodeNothing(): readonly [] {
  return [];
}

/** Describes an operation: its parameters, the method that serves it, its result. */
export function operation<P extends readonly unknown[], R>(
  decode: Decode<P>,
  invoke: (parameters: P, ctx: Context) => Result<R>,
  encode: Encode<R>,
): Operation {
  // The three agree on P and R, which `Operation` does not show.
  return { decode, invoke, encode } as Operation;
}

/** The operations of an interface by their indices. */
export type Operations = ReadonlyMap<number, Operation>;

/** Serves one or more interfaces. Generated code makes it: `serveServer(servant)`. */
export interface Servant {
  /** The operations by the indices of its interfaces: its own, and those of its bases. */
  readonly interfaces: ReadonlyMap<number, Operations>;
  /** Its interfaces as an IDL without imports. */
  readonly idl: string;
}

/** The servants of an adapter or a connection. */
export class ServantRegistry {
  readonly #servants = new Map<number, Servant>();

  /** Adds a servant; it replaces an earlier one with the same interface index. */
  add(servant: Servant): void {
    for (const ifidx of servant.interfaces.keys()) {
      this.#servants.set(ifidx, servant);
    }
  }

  operations(ifidx: number): Operations | undefined {
    return this.#servants.get(ifidx)?.interfaces.get(ifidx);
  }

  get servants(): Iterable<Servant> {
    return this.#servants.values();
  }
}
