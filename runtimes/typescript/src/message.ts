/** One message: a header, the extra, the parameters. */

import type { Reader } from "./reader.js";
import type { Writer } from "./writer.js";

/** The only message type in use. */
export const MSGTYPE_RPC = 1;
/** The interface that every adapter serves, and its operations. */
export const BUILTIN_INTERFACE = 65535;
export const PING = 0;
export const DESCRIBE = 1;
export const LOGIN = 2;
export const REFRESH = 3;
export const GO_AWAY = 4;
/** The sequence of the RETURN by which a peer says why it closes the connection. */
export const GOODBYE_SEQUENCE = 0xffffffff;

/** The kinds of messages as this runtime sends them. */
export const TWOWAY = 0x01;
export const ONEWAY = 0x21;
export const RETURN = 0x02;

const CALL_BIT = 0x01;
const RETURN_BIT = 0x02;
const ONEWAY_BIT = 0x20;
/** The bit of `call_id` that a gateway sets: the RETURN has to repeat the call's extra. */
const ROUTED_BIT = 0x8000;

/** The fixed part of a message. */
export interface Header {
  readonly msgtype: number;
  readonly sequence: number;
  readonly calltype: number;
  readonly ifidx: number;
  readonly opidx: number;
  readonly errcode: number;
  readonly callId: number;
}

export function isCall(header: Header): boolean {
  return (header.calltype & CALL_BIT) !== 0;
}

export function isReturn(header: Header): boolean {
  return (header.calltype & RETURN_BIT) !== 0;
}

/** No other bit decides it. */
export function isOneway(header: Header): boolean {
  return (header.calltype & ONEWAY_BIT) !== 0;
}

export function isRouted(header: Header): boolean {
  return (header.callId & ROUTED_BIT) !== 0;
}

export function callHeader(
  calltype: number,
  sequence: number,
  ifidx: number,
  opidx: number,
): Header {
  return { msgtype: MSGTYPE_RPC, sequence, calltype, ifidx, opidx, errcode: 0, callId: 0 };
}

/** The header of the RETURN to a CALL. */
export function returnHeader(call: Header, errcode: number): Header {
  const { sequence, ifidx, opidx, callId } = call;
  return { msgtype: MSGTYPE_RPC, sequence, calltype: RETURN, ifidx, opidx, errcode, callId };
}

export function encodeHeader(out: Writer, header: Header): void {
  out.byte(header.msgtype);
  out.u32(header.sequence);
  out.byte(header.calltype);
  out.u16(header.ifidx);
  out.u16(header.opidx);
  out.u32(header.errcode);
  // The number of parameters, which receivers ignore.
  out.byte(0);
  out.u16(header.callId);
}

export function decodeHeader(input: Reader): Header {
  const msgtype = input.byte();
  const sequence = input.u32();
  const calltype = input.byte();
  const ifidx = input.u16();
  const opidx = input.u16();
  const errcode = input.u32();
  input.byte();
  const callId = input.u16();
  return { msgtype, sequence, calltype, ifidx, opidx, errcode, callId };
}

