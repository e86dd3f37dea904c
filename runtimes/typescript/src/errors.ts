/** The errors of calls, and what a servant answers instead of a result. */

// As constants, which bundlers write as numbers.
export const SENDFAILED = 1;
export const TIMEOUT = 2;
export const DATADIRTY = 3;
export const INTERFACE_NOTFOUND = 4;
export const UNSERIALIZE_FAILED = 5;
export const REMOTEMETHOD_EXCEPTION = 6;
export const REMOTE_EXCEPTION = 8;
export const CONNECT_UNREACHABLE = 101;
export const CONNECT_FAILED = 102;
export const CONNECT_REJECT = 103;
export const CONNECTION_LOST = 104;
export const CLOSED_NORMALLY = 1000;
export const REFUSED = 1008;
export const TRY_LATER = 1013;
export const REPLACED = 4001;
export const LOGIN_EXPIRED = 4002;
export const ENDED = 4005;

/** The error codes of the wire format. An application may use other numbers. */
export const ErrorCode = {
  /** The call was not sent, and never will be. */
  SendFailed: SENDFAILED,
  /** No RETURN in time; the call may have been executed. */
  Timeout: TIMEOUT,
  /** The bytes received are invalid. */
  DataDirty: DATADIRTY,
  /** No servant has the interface, or it has no such operation. */
  InterfaceNotFound: INTERFACE_NOTFOUND,
  /** The parameters or the result do not decode. */
  UnserializeFailed: UNSERIALIZE_FAILED,
  /** The servant failed unexpectedly, or its result can't be sent. */
  RemoteMethodException: REMOTEMETHOD_EXCEPTION,
  /** There are fewer bytes than the type needs. */
  DataInsufficient: 7,
  /** The servant raised an application error. */
  RemoteException: REMOTE_EXCEPTION,
  /** The peer's address can't be reached. */
  ConnectUnreachable: CONNECT_UNREACHABLE,
  /** The peer did not accept the connection. */
  ConnectFailed: CONNECT_FAILED,
  /** The peer refused, by authentication or by a limit. */
  ConnectReject: CONNECT_REJECT,
  /** The connection ended with the call in flight, which may have been executed. */
  ConnectionLost: CONNECTION_LOST,
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

/** Why a peer has ended a connection. */
export const CloseCode = {
  /** The side that closes needs the connection no longer. */
  Normal: CLOSED_NORMALLY,
  /** The peer ends. */
  GoingAway: 1001,
  /** The peer refuses the connection, for example its login. */
  Refused: REFUSED,
  /** A message was larger than the peer accepts. */
  TooLarge: 1009,
  /** The peer restarts; the connection may be made again, after the pause in the text. */
  Restarting: 1012,
  /** The peer has no capacity now. */
  TryLater: TRY_LATER,
  /** Another login of the user, or of the device, has replaced the connection. */
  Replaced: REPLACED,
  /** The login has expired. */
  LoginExpired: LOGIN_EXPIRED,
  /** This side has not read what was sent to it. */
  SlowReader: 4003,
  /** This side was silent for too long. */
  Idle: 4004,
  /** An operator has ended the connection. */
  Ended: ENDED,
} as const;

/** The close codes after which the same login does not succeed. */
export const REFUSALS: ReadonlySet<number | undefined> = new Set([
  REFUSED,
  REPLACED,
  LOGIN_EXPIRED,
  ENDED,
]);

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
  readonly closeCode?: number | undefined;
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
  /**
   * Why the peer has ended the connection, where that is the cause and the peer has said so: one
   * of {@link CloseCode}, or an application's own number.
   */
  readonly closeCode: number | undefined;

  /** What a servant answers that throws it; for the runtime. */
  fault?(): Fault | undefined;

  constructor(code: number, text: string, details: RpcErrorDetails = {}) {
    const { side = "local", operation, peer, closeCode, cause } = details;
    const what = operation === undefined ? "" : `${operation}: `;
    const why = text === "" ? "" : `: ${text}`;
    const where = peer === undefined ? "" : ` (${peer})`;
    super(what + errorName(code) + why + where, cause === undefined ? undefined : { cause });
    this.code = code;
    this.text = text;
    this.side = side;
    this.operation = operation;
    this.peer = peer;
    this.closeCode = closeCode;
  }

  /**
   * Whether the same call may succeed when it is repeated. After TIMEOUT and CONNECTION_LOST it
   * may have been executed already: repeat it only if the operation is idempotent. Where
   * the peer has refused the login, or has ended the connection permanently, the same connection
   * does not succeed.
   */
  get canRetry(): boolean {
    return RETRYABLE.has(this.code) && !REFUSALS.has(this.closeCode);
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
  /** What the extra of the RETURN has beside the text; for the runtime. */
  readonly pairs?: ReadonlyMap<string, string>;

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

/** What an error says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
