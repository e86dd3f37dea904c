/** The errors of calls, and what a servant answers instead of a result. */

/** The error codes of the wire format. An application may use other numbers. */
export const ErrorCode = {
  /** The call was not sent, and never will be. */
  SendFailed: 1,
  /** No RETURN in time; the call may have been executed. */
  Timeout: 2,
  /** The bytes received are invalid. */
  DataDirty: 3,
  /** No servant has the interface, or it has no such operation. */
  InterfaceNotFound: 4,
  /** The parameters or the result do not decode. */
  UnserializeFailed: 5,
  /** The servant failed unexpectedly, or its result can't be sent. */
  RemoteMethodException: 6,
  /** There are fewer bytes than the type needs. */
  DataInsufficient: 7,
  /** The servant raised an application error. */
  RemoteException: 8,
  /** The peer's address can't be reached. */
  ConnectUnreachable: 101,
  /** The peer did not accept the connection. */
  ConnectFailed: 102,
  /** The peer refused, by authentication or by a limit. */
  ConnectReject: 103,
  /** The connection ended with the call in flight, which may have been executed. */
  ConnectionLost: 104,
} as const;

const NAMES: Readonly<Record<number, string>> = {
  1: "SENDFAILED",
  2: "TIMEOUT",
  3: "DATADIRTY",
  4: "INTERFACE_NOTFOUND",
  5: "UNSERIALIZE_FAILED",
  6: "REMOTEMETHOD_EXCEPTION",
  7: "DATA_INSUFFICIENT",
  8: "REMOTE_EXCEPTION",
  101: "CONNECT_UNREACHABLE",
  102: "CONNECT_FAILED",
  103: "CONNECT_REJECT",
  104: "CONNECTION_LOST",
};

/** The codes after which the same call may succeed. */
const RETRYABLE: ReadonlySet<number> = new Set([1, 2, 101, 102, 103, 104]);

/** The name of a code in the wire format's documentation: `TIMEOUT`. */
export function errorName(code: number): string {
  return NAMES[code] ?? `error code ${String(code)}`;
}

/** The side on which a call failed: the caller's, or the peer's, which answered with an error. */
export type Side = "local" | "remote";

/** What an {@link RpcError} says beside its code and text. */
export interface RpcErrorDetails {
  readonly side?: Side;
  readonly operation?: string | undefined;
  readonly peer?: string | undefined;
  readonly cause?: unknown;
}

/** Why a call failed: the code, the side, the operation, the peer, and a text. */
export class RpcError extends Error {
  override readonly name: string = "RpcError";
  /** One of {@link ErrorCode}, or an application's own number. */
  readonly code: number;
  /** What happened, as the side that failed describes it. */
  readonly text: string;
  /** The side on which the call failed. */
  readonly side: Side;
  /** The operation that was called, by its name in the IDL: `test::Server::echo`. */
  readonly operation: string | undefined;
  /** The endpoint of the peer. */
  readonly peer: string | undefined;

  constructor(code: number, text: string, details: RpcErrorDetails = {}) {
    const { side = "local", operation, peer, cause } = details;
    const what = operation === undefined ? "" : `${operation}: `;
    const why = text === "" ? "" : `: ${text}`;
    const where = peer === undefined ? "" : ` (${peer})`;
    super(what + errorName(code) + why + where, cause === undefined ? undefined : { cause });
    this.code = code;
    this.text = text;
    this.side = side;
    this.operation = operation;
    this.peer = peer;
  }

  /**
   * Whether the same call may succeed when it is repeated. After TIMEOUT and CONNECTION_LOST it
   * may have been executed already: repeat it only if the operation is idempotent.
   */
  get canRetry(): boolean {
    return RETRYABLE.has(this.code);
  }
}

/**
 * Why a servant's operation failed. The caller gets its code and text. Anything else that a
 * servant throws is logged on its side, and the caller reads "internal error".
 */
export class Fault extends Error {
  override readonly name: string = "Fault";
  /** The code that the caller gets; 0 counts as REMOTE_EXCEPTION. */
  readonly code: number;

  constructor(code: number, text: string) {
    super(text);
    this.code = code;
  }
}

/** Why a message or a value does not decode. */
export class DecodeError extends Error {
  override readonly name: string = "DecodeError";
}

/** Why a byte stream can't be read any further: nothing tells where the next frame begins. */
export class FrameError extends Error {
  override readonly name: string = "FrameError";
}
