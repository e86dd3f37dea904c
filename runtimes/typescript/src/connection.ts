/** What programs see of a connection. */

import type { RpcError, RpcErrorDetails } from "./errors.js";
import type { Extra, ExtraInit } from "./extra.js";
import type { Decode } from "./reader.js";
import type { Servant } from "./servant.js";
import type { Writer } from "./writer.js";

/** Whether a connection can be used now. */
export type ConnectionState = "connecting" | "open" | "closed";

/** Learns each state, and why the connection has got into it. */
export type StateListener = (state: ConnectionState, reason: string) => void;

/** Learns {@link Connection.recovered}. */
export type ResumedListener = (recovered: boolean) => void;

/** How one call is made. */
export interface CallOptions {
  /** How long the call waits for its RETURN, in milliseconds. The servant's side learns it. */
  readonly timeoutMs?: number | undefined;
  /** Abandons the call locally: its promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** String pairs sent beside the parameters. */
  readonly extra?: ExtraInit | undefined;
  /** Learns the extra of the RETURN. */
  readonly onReturn?: ((extra: Extra) => void) | undefined;
}

/** The exception in the extra of an error RETURN, if it is declared and its members decode. */
export type Throws = (
  errcode: number,
  extra: Extra,
  details: RpcErrorDetails,
) => RpcError | undefined;

/** An operation of an interface. */
export interface OperationId {
  readonly ifidx: number;
  readonly opidx: number;
  /** Its name in the IDL: `test::Server::echo`. */
  readonly name: string;
  /** Reads the exceptions that it declares. */
  readonly throws?: Throws;
  /** Whether a call may be repeated without another effect. */
  readonly idempotent?: boolean;
}

/** A connection to a peer. */
export interface Connection {
  /** The endpoint of the peer. */
  readonly peer: string;
  readonly state: ConnectionState;
  /**
   * Why the peer has ended the connection, if it has said so: one of `CloseCode`. Undefined while
   * it is open.
   */
  readonly closeCode: number | undefined;
  /**
   * Whether the gateway has sent everything that was pushed since the last push that this program
   * has handled, or will send it. False after the first login, and where too much was pushed
   * meanwhile: the program loads anew what it shows. Undefined unless the option `resume` asks for
   * it and the gateway keeps pushes.
   */
  readonly recovered: boolean | undefined;
  /** The bytes that the system has not taken yet. */
  readonly bufferedAmount: number;
  /** Serves calls of the peer; the servant stays over reconnects. */
  serve(servant: Servant): this;
  /** Adds a listener, and returns a function that removes it. */
  onState(listener: StateListener): () => void;
  /**
   * Adds a listener, and returns a function that removes it. It is called after each login at a
   * gateway that keeps pushes; what was missed follows. Each push reaches its servant once.
   */
  onResumed(listener: ResumedListener): () => void;
  /** Closes the connection permanently, after what waits has been sent. */
  close(): Promise<void>;
  /**
   * Calls an operation; proxies of generated code do. Rejects with an `RpcError`, with a
   * `RangeError` or `TypeError` of a parameter that its type can't hold, or with the reason of an
   * aborted signal.
   */
  call<R>(
    operation: OperationId,
    parameters: (out: Writer) => void,
    result: Decode<R>,
    options?: CallOptions,
  ): Promise<R>;
  /**
   * Sends a call without a RETURN. Throws SENDFAILED if it can't be put in the write buffer: the
   * connection is not open, or too many bytes wait.
   */
  oneway(operation: OperationId, parameters: (out: Writer) => void, options?: CallOptions): void;
}
