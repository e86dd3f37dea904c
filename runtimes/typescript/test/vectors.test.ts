/** Frames recorded from the existing implementations decode, and encode the same again. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inflateSync } from "node:zlib";

import { encodePairs, Extra } from "#dist/extra.js";
import { Deframer, FRAME_HEADER_SIZE, type Payload } from "#dist/frame.js";
import { inflate } from "#dist/inflate.js";
import { DEFAULT_LIMITS } from "#dist/limits.js";
import { decodeHeader, encodeHeader } from "#dist/message.js";
import { inflate as nodeInflate } from "#dist/node/zlib.js";
import { Reader } from "#dist/reader.js";
import type { Operations } from "#dist/servant.js";
import { encodeString, Writer } from "#dist/writer.js";
import { operationsOfBaseServer, operationsOfServer, type BaseServer, type Server } from "./gen/test.js";
import { operationsOfKeeper, type Keeper } from "./gen/zoo.js";
import { ROOT } from "./support/programs.js";

interface Recorded {
  readonly frame?: string;
  /** The frame as the JavaScript client sends it: its header, then its payload. */
  readonly websocket_messages?: readonly string[];
  readonly compress: number;
  readonly sequence: number;
  readonly calltype: number;
  readonly ifidx: number;
  readonly opidx: number;
  readonly errcode: number;
  readonly call_id: number;
  readonly extra: Readonly<Record<string, string>>;
  readonly params: string;
  readonly operation: string;
  readonly values: readonly unknown[];
}

const NAMES = ["python-client", "java-client", "javascript-client"];

function recorded(name: string): Recorded[] {
  const text = readFileSync(join(ROOT, "tests/vectors", `${name}.json`), "utf8");
  return (JSON.parse(text) as { frames: Recorded[] }).frames;
}

/** The parts in which a frame was sent. */
function chunks({ frame, websocket_messages }: Recorded): Buffer[] {
  const parts = frame === undefined ? websocket_messages : [frame];
  return (parts ?? []).map((part) => Buffer.from(part, "hex"));
}

/** The operations of the recorded interfaces, which record their parameters. */
const OPERATIONS: Readonly<Record<string, Operations>> = {
  "zoo::Keeper": operationsOfKeeper({} as Keeper),
  "test::Server": operationsOfServer({} as Server),
  "test::BaseServer": operationsOfBaseServer({} as BaseServer),
};

/** A value as JSON has it: a `Map` as an object, bytes as an array, a `bigint` as a number. */
function plain(value: unknown): unknown {
  if (value instanceof Map) {
    return Object.fromEntries([...value].map(([key, item]) => [String(key), plain(item)]));
  }
  if (value instanceof Uint8Array || Array.isArray(value)) {
    return [...(value as Iterable<unknown>)].map(plain);
  }
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  }
  return typeof value === "bigint" ? Number(value) : value;
}

for (const name of NAMES) {
  for (const [platform, inflates] of [
    ["the browser's inflate", inflate],
    ["Node's inflate", nodeInflate],
  ] as const) {
    test(`frames of ${name} decode with ${platform}`, () => {
      for (const row of recorded(name)) {
        const deframer = new Deframer(DEFAULT_LIMITS, inflates);
        let payload: Payload | undefined;
        for (const chunk of chunks(row)) {
          assert.equal(payload, undefined);
          deframer.push(chunk);
          payload = deframer.next();
        }
        assert.ok(payload, row.operation);
        const input = new Reader(payload.bytes, DEFAULT_LIMITS, payload.start, payload.end);
        const header = decodeHeader(input);
        const { sequence, calltype, ifidx, opidx, errcode, callId } = header;
        assert.deepEqual(
          { sequence, calltype, ifidx, opidx, errcode, call_id: callId },
          {
            sequence: row.sequence,
            calltype: row.calltype,
            ifidx: row.ifidx,
            opidx: row.opidx,
            errcode: row.errcode,
            call_id: row.call_id,
          },
        );
        const extra = Extra.decode(input, DEFAULT_LIMITS);
        assert.deepEqual(Object.fromEntries(extra), row.extra);
        const params = Buffer.from(input.bytes.subarray(input.offset, input.end));
        assert.equal(params.toString("hex"), row.params);
        const operation = OPERATIONS[row.operation.replace(/::\w+$/, "")]?.get(opidx);
        const values = operation?.decode(input);
        assert.deepEqual(plain(values), row.values, row.operation);
      }
    });
  }

  test(`frames of ${name} encode the same again`, () => {
    for (const row of recorded(name)) {
      const frame = Buffer.concat(chunks(row));
      const stored = frame.subarray(FRAME_HEADER_SIZE);
      const payload = row.compress === 1 ? inflateSync(stored) : stored;
      const out = new Writer();
      const input = new Reader(payload);
      encodeHeader(out, decodeHeader(input));
      Extra.decode(input, DEFAULT_LIMITS).encodeWith(out, new Map());
      out.put(input.bytes.subarray(input.offset, input.end));
      const encoded = Buffer.from(out.take());
      // The number of parameters is informal; this runtime writes 0.
      payload[14] = 0;
      assert.equal(encoded.toString("hex"), payload.toString("hex"));
    }
  });
}

test("extra in ASCII encodes as it was recorded", () => {
  const row = recorded("python-client").find((it) => Object.keys(it.extra).length > 0);
  assert.ok(row);
  const out = new Writer();
  encodePairs(out, new Map(Object.entries(row.extra)));
  const start = FRAME_HEADER_SIZE + 17;
  const bytes = Buffer.from(out.take());
  const sent = Buffer.concat(chunks(row)).subarray(start, start + bytes.length);
  assert.equal(bytes.toString("hex"), sent.toString("hex"));
});

test("a string encodes as it was recorded", () => {
  const row = recorded("python-client").find((it) => it.operation === "test::Server::echo");
  assert.ok(row);
  const out = new Writer();
  encodeString(out, String(row.values[0]));
  assert.equal(Buffer.from(out.take()).toString("hex"), row.params);
});
