/** The options of a communicator. */

import { inflate, type Inflate } from "./inflate.js";
import { DEFAULT_LIMITS, type Limits } from "./limits.js";

/** How a line is logged: a dropped message, a failed servant, a peer that breaks the protocol. */
export type Log = (level: "warn" | "error", message: string, cause?: unknown) => void;

/** The options of a communicator and all its connections. Times are in milliseconds. */
export interface Options {
  /** How long a twoway call waits for its RETURN. Default: 30 s. */
  readonly timeoutMs?: number;
  /**
   * The credential by which a gateway identifies the user: a text, or a function that is asked at
   * each connect and before a login expires. Default: none.
   */
  readonly token?: string | (() => string | Promise<string>);
  /** The device id sent with the token. Default: none. */
  readonly deviceId?: string;
  /**
   * Whether a gateway keeps pushes while the connection is lost and sends them afterwards.
   * Default: false.
   */
  readonly resume?: boolean;
  /** The limits of received messages. */
  readonly limits?: Partial<Limits>;
  /** The time limit to connect, and that of the token function. Default: 5 s. */
  readonly connectTimeMs?: number;
  /** The time limit to receive a frame, from its first byte to its last. Default: 30 s. */
  readonly frameTimeMs?: number;
  /** How long bytes wait for a peer that does not read. Default: 30 s. */
  readonly stallTimeMs?: number;
  /**
   * In Node, the time without an outgoing byte after which a WebSocket ping is sent. In browsers,
   * the time without a message of the peer after which it is called by the built-in `ping`, and how
   * long that may take: a page notices that a connection is gone after its machine has slept.
   * Default: 25 s.
   */
  readonly pingIntervalMs?: number;
  /**
   * The most bytes that wait to be sent on a connection. Beyond it a call fails with SENDFAILED,
   * and calls of a peer that reads no RETURNs are not served. Default: 4 MiB.
   */
  readonly sendBuffer?: number;
  /** The most calls of this program that are in flight on a connection. Default: 65,536. */
  readonly callsInFlight?: number;
  /** The most calls of a peer that are served at once. Default: 2,048. */
  readonly servedCalls?: number;
  /**
   * How long after its deadline, by this machine's clock, an incoming call is still executed.
   * Default: 1 s.
   */
  readonly deadlineToleranceMs?: number;
  /** Default: `console.warn` and `console.error`, at most ten lines a second. */
  readonly log?: Log;
}

/** The longest delay of a timer of the platform. */
export const MAX_TIME_MS = 2 ** 31 - 1;
const MAX_LINES = 10;
const LINES_TIME_MS = 1000;

/** The options with their defaults, and what the platform supplies. */
export interface Settings extends Required<Omit<Options, "token" | "deviceId" | "limits">> {
  readonly limits: Limits;
  readonly token: Options["token"];
  readonly deviceId: Options["deviceId"];
  /** Whether the program has set a timeout: calls then carry their deadline. */
  readonly hasTimeout: boolean;
  readonly inflate: Inflate;
}

/** Limits the lines that peers can cause. */
function limited(write: Log): Log {
  let lines = 0;
  let since = 0;
  return (level, message, cause) => {
    const now = Date.now();
    if (now - since >= LINES_TIME_MS) {
      since = now;
      lines = 0;
    }
    lines += 1;
    if (lines <= MAX_LINES) {
      write(level, message, cause);
    }
  };
}

function writeToConsole(level: "warn" | "error", message: string, cause?: unknown): void {
  console[level](`tce: ${message}`, ...(cause === undefined ? [] : [cause]));
}

export function checkTime(timeoutMs: number, name: string): number {
  if (!(timeoutMs > 0 && timeoutMs <= MAX_TIME_MS)) {
    throw new RangeError(`${name} must be above 0 and at most ${MAX_TIME_MS}, not ${timeoutMs}`);
  }
  return timeoutMs;
}

/** `inflate` is for platforms with a faster one. */
export function settingsOf(options: Options, fast: Inflate = inflate): Settings {
  const { limits, log = writeToConsole, ...rest } = options;
  const settings: Settings = {
    timeoutMs: 30_000,
    connectTimeMs: 5_000,
    frameTimeMs: 30_000,
    stallTimeMs: 30_000,
    pingIntervalMs: 25_000,
    sendBuffer: 4 << 20,
    callsInFlight: 1 << 16,
    servedCalls: 2048,
    deadlineToleranceMs: 1_000,
    resume: false,
    token: undefined,
    deviceId: undefined,
    ...rest,
    limits: { ...DEFAULT_LIMITS, ...limits },
    hasTimeout: options.timeoutMs !== undefined,
    inflate: fast,
    log: limited(log),
  };
  for (const name of [
    "timeoutMs",
    "connectTimeMs",
    "frameTimeMs",
    "stallTimeMs",
    "pingIntervalMs",
  ] as const) {
    checkTime(settings[name], name);
  }
  return settings;
}
