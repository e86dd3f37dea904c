/** The names that generated code may use. */

export type { CallOptions, Connection, OperationId } from "./connection.js";
export type { RpcErrorDetails } from "./errors.js";
export { throws, UserException } from "./exception.js";
export { Proxy } from "./proxy.js";
export {
  decodeBool,
  decodeByte,
  decodeBytes,
  decodeDictionary,
  decodeDouble,
  decodeFloat,
  decodeInt,
  decodeLong,
  decodeSequence,
  decodeShort,
  decodeString,
  decodeVoid,
  type Reader,
} from "./reader.js";
export {
  decodeNothing,
  operation,
  type Context,
  type Operations,
  type Result,
  type Servant,
} from "./servant.js";
export {
  encodeBool,
  encodeByte,
  encodeBytes,
  encodeDictionary,
  encodeDouble,
  encodeFloat,
  encodeInt,
  encodeLong,
  encodeSequence,
  encodeShort,
  encodeString,
  encodeVoid,
  type Writer,
} from "./writer.js";
