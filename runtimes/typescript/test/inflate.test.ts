/** The browser client's own inflate gives what zlib gives. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, deflateSync, inflateSync } from "node:zlib";

import fc from "fast-check";

import { FrameError } from "#dist/errors.js";
import { inflate } from "#dist/inflate.js";
import { inflate as nodeInflate } from "#dist/node/zlib.js";

const LIMIT = 16 << 20;
const BOTH = [inflate, nodeInflate];

test("it inflates what zlib deflates, by every strategy and level", () => {
  const strategies = [
    constants.Z_DEFAULT_STRATEGY,
    constants.Z_FIXED,
    constants.Z_HUFFMAN_ONLY,
    constants.Z_RLE,
  ];
  const data = fc.oneof(
    fc.uint8Array({ maxLength: 2000 }),
    fc.uint8Array({ maxLength: 2000, max: 3 }),
    fc.string({ maxLength: 500 }).map((text) => Buffer.from(text.repeat(40))),
  );
  fc.assert(
    fc.property(data, fc.constantFrom(...strategies), fc.nat(9), (bytes, strategy, level) => {
      const stream = deflateSync(bytes, { strategy, level });
      assert.deepEqual(Buffer.from(inflate(stream, LIMIT)), Buffer.from(bytes));
    }),
    { numRuns: 1000 },
  );
});

test("bytes after the end of a stream are ignored", () => {
  const stream = Buffer.concat([deflateSync("padded"), Buffer.alloc(50)]);
  for (const inflates of BOTH) {
    assert.equal(Buffer.from(inflates(stream, LIMIT)).toString(), "padded");
  }
});

test("a stream that inflates to more than the limit is an error", () => {
  const stream = deflateSync(Buffer.alloc(1 << 20));
  for (const inflates of BOTH) {
    assert.throws(() => inflates(stream, (1 << 20) - 1), /more than the limit of 1048575/);
    assert.equal(inflates(stream, 1 << 20).length, 1 << 20);
  }
});

test("a stream that is cut off or damaged is an error, as for zlib", () => {
  const stream = deflateSync("the quick brown fox jumps over the lazy dog".repeat(9));
  for (let length = 0; length < stream.length; length++) {
    assert.throws(() => inflate(stream.subarray(0, length), LIMIT), FrameError);
  }
  for (let at = 0; at < stream.length; at++) {
    for (let change = 1; change < 256; change++) {
      const damaged = Buffer.from(stream);
      damaged[at] = (damaged[at] ?? 0) ^ change;
      let expected: Buffer | undefined;
      try {
        expected = inflateSync(damaged);
      } catch {
        assert.throws(() => inflate(damaged, LIMIT), FrameError);
        continue;
      }
      assert.deepEqual(Buffer.from(inflate(damaged, LIMIT)), expected);
    }
  }
});

test("no bytes make it hang or fail otherwise", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        inflate(Uint8Array.of(0x78, 0x9c, ...bytes), 1 << 16);
      } catch (error) {
        assert.ok(error instanceof FrameError, String(error));
      }
    }),
    { numRuns: 20_000 },
  );
});
