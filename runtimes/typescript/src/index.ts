/** Calls over the TCE wire format, in browsers. `tce/node` has more endpoints, and adapters. */

export { Communicator } from "./communicator.js";
export type {
  CallOptions,
  Connection,
  ConnectionState,
  ResumedListener,
  StateListener,
} from "./connection.js";
export {
  CloseCode,
  DecodeError,
  ErrorCode,
  errorName,
  Fault,
  RpcError,
  type Side,
} from "./errors.js";
export type { Extra, ExtraInit } from "./extra.js";
export type { Limits } from "./limits.js";
export type { Log, Options } from "./options.js";
export { describe, ping, toCaller, toUser } from "./proxy.js";
export { decode, type Decode } from "./reader.js";
export type { Context, Servant } from "./servant.js";
export { encode, type Encode } from "./writer.js";
