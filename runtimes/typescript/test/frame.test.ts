/** Frames that are split, joined, malformed or larger than the limits. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { deflateSync } from "node:zlib";

import fc from "fast-check";

import { DecodeError, FrameError } from "#dist/errors.js";
import { Extra } from "#dist/extra.js";
import { Deframer } from "#dist/frame.js";
import { inflate } from "#dist/inflate.js";
import { DEFAULT_LIMITS } from "#dist/limits.js";
import { decodeHeader } from "#dist/message.js";
import { Reader } from "#dist/reader.js";
import { operationsOfKeeper, type Keeper } from "./gen/zoo.js";
import { framed } from "./support/peer.js";

/** All payloads of the chunks. */
function deframe(chunks: readonly Uint8Array[], limits = DEFAULT_LIMITS): string[] {
  const deframer = new Deframer(limits, inflate);
  const payloads: string[] = [];
  for (const chunk of chunks) {
    deframer.push(chunk);
    for (let payload = deframer.next(); payload !== undefined; payload = deframer.next()) {
      payloads.push(Buffer.from(payload.bytes.subarray(payload.start, payload.end)).toString());
    }
  }
  return payloads;
}

/** A stream cut at some places. */
function cut(stream: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [...new Set(places.map((place) => place % stream.length))].sort((a, b) => a - b);
  const starts = [0, ...ends];
  return starts.map((start, i) => stream.subarray(start, ends[i] ?? stream.length));
}

test("frames may be split and joined in any way", () => {
  const texts = fc.array(fc.string({ minLength: 1, maxLength: 200 }), { minLength: 1 });
  fc.assert(
    fc.property(texts, fc.array(fc.nat(5000)), fc.boolean(), (texts, places, compresses) => {
      const frames = texts.map((text) =>
        compresses ? framed(deflateSync(text), 1) : framed(Buffer.from(text)),
      );
      const stream = Buffer.concat(frames);
      const expected = texts.map((text) => Buffer.from(text).toString());
      assert.deepEqual(deframe(cut(stream, places)), expected);
      assert.deepEqual(deframe([...stream].map((byte) => Uint8Array.of(byte))), expected);
    }),
    { numRuns: 300 },
  );
});

test("chunks that arrive while frames wait are kept in order", () => {
  const deframer = new Deframer(DEFAULT_LIMITS, inflate);
  const stream = Buffer.concat(["a", "b", "c"].map((text) => framed(Buffer.from(text))));
  deframer.push(stream.subarray(0, 20));
  deframer.push(stream.subarray(20));
  const payloads = [];
  for (let payload = deframer.next(); payload !== undefined; payload = deframer.next()) {
    payloads.push(String.fromCharCode(payload.bytes[payload.start] ?? 0));
  }
  assert.deepEqual(payloads, ["a", "b", "c"]);
});

test("bytes that are no frame are an error that says why", () => {
  const frame = framed(Buffer.from("payload"));
  const changed = (at: number, byte: number): Buffer => {
    const copy = Buffer.from(frame);
    copy[at] = byte;
    return copy;
  };
  const large = Buffer.from(frame);
  large.writeUInt32BE(DEFAULT_LIMITS.maxFrame + 1, 4);
  const empty = Buffer.from(frame);
  empty.writeUInt32BE(10, 4);
  for (const [bytes, why] of [
    [Buffer.from("GET / HTTP/1.1\r\n"), /wrong magic 0x47455420/],
    [Buffer.from("GET "), /wrong magic/],
    [large, /announces 4194305 bytes, more than the limit of 4194304/],
    [empty, /announces the size 10/],
    [changed(8, 2), /unknown compression 2/],
    [changed(9, 3), /unknown encryption 3/],
    [changed(8, 1), /does not inflate/],
  ] as const) {
    assert.throws(() => deframe([bytes]), { name: "FrameError", message: why });
  }
});

test("a bomb is an error, not memory", () => {
  const limits = { ...DEFAULT_LIMITS, maxInflated: 1000 };
  const frame = framed(deflateSync(Buffer.alloc(1001)), 1);
  assert.throws(() => deframe([frame], limits), /inflates to more than the limit of 1000/);
});

test("an announced size takes no memory before its bytes arrive", () => {
  const header = framed(Buffer.alloc(DEFAULT_LIMITS.maxFrame - 10)).subarray(0, 14);
  const before = process.memoryUsage().arrayBuffers;
  const deframers = Array.from({ length: 1000 }, () => {
    const deframer = new Deframer(DEFAULT_LIMITS, inflate);
    deframer.push(header);
    assert.equal(deframer.next(), undefined);
    return deframer;
  });
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 1 << 20, `${String(grown)} bytes for ${String(deframers.length)} headers`);
});

/** Every operation of an interface with every type. */
const OPERATIONS = [...operationsOfKeeper({} as Keeper).values()];

/** Reads bytes as a peer's: frames, messages, and parameters of every type. */
function read(bytes: Uint8Array): void {
  try {
    const deframer = new Deframer(DEFAULT_LIMITS, inflate);
    deframer.push(bytes);
    for (let payload = deframer.next(); payload !== undefined; payload = deframer.next()) {
      const { start, end } = payload;
      const input = new Reader(payload.bytes, DEFAULT_LIMITS, start, end);
      const { opidx } = decodeHeader(input);
      Extra.decode(input, DEFAULT_LIMITS).get("name");
      OPERATIONS[opidx % OPERATIONS.length]?.decode(input);
    }
  } catch (error) {
    assert.ok(error instanceof FrameError || error instanceof DecodeError, String(error));
  }
}

/** A quick generator of numbers below a bound, from a seed. */
function numbers(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

/** Mutated frames; `TCE_FUZZ_FRAMES` sets another number. */
const FRAMES = Number(process.env["TCE_FUZZ_FRAMES"] ?? 100_000);
const FRAMES_PER_RUN = 100;

/** Rounds of mutated frames, after each of which the memory is measured. */
const ROUNDS = 4;
/** What memory may grow by after the first round, in bytes. */
const GROWTH = 4 << 20;

/** Bytes in use, without garbage. */
function memory(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function readMutatedFrames(count: number): void {
  const call = fc.record({
    opidx: fc.nat(8),
    params: fc.uint8Array({ maxLength: 120 }),
    isCompressed: fc.boolean(),
    seed: fc.integer(),
  });
  fc.assert(
    fc.property(call, ({ opidx, params, isCompressed, seed }) => {
      const header = Uint8Array.of(1, 0, 0, 0, 7, 1, 0, 0, 0, opidx, 0, 0, 0, 0, 0, 0, 0);
      const message = Buffer.concat([header, Buffer.from([0, 0, 0, 0]), params]);
      const frame = isCompressed ? framed(deflateSync(message), 1) : framed(message);
      const next = numbers(seed);
      for (let i = 0; i < FRAMES_PER_RUN; i++) {
        const mutated = Buffer.from(frame);
        for (let changes = 1 + next(4); changes > 0; changes--) {
          // Most beyond the frame's header, a change of which ends the connection.
          const at = next(8) === 0 ? next(mutated.length) : 14 + next(mutated.length - 14);
          mutated[at] = [0, 1, 0x7f, 0x80, 0xff, next(256)][next(6)] ?? 0;
        }
        read(next(10) === 0 ? mutated.subarray(0, next(mutated.length)) : mutated);
      }
    }),
    { numRuns: count / FRAMES_PER_RUN },
  );
}

test("no mutated frame makes a decoder hang, fail otherwise than it should, or keep memory", () => {
  const sizes: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    readMutatedFrames(FRAMES / ROUNDS);
    sizes.push(memory());
  }
  const [first = 0, last = 0] = [sizes[0], sizes.at(-1)];
  assert.ok(last < first + GROWTH, sizes.join());
});
