/** Values at the limits of their types, and bytes that do not decode. */

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { DecodeError } from "#dist/errors.js";
import { Extra, escapeAscii, unescapeAscii } from "#dist/extra.js";
import { DEFAULT_LIMITS } from "#dist/limits.js";
import * as read from "#dist/reader.js";
import * as write from "#dist/writer.js";

function roundtrip<T>(value: T, encoder: write.Encode<T>, decoder: read.Decode<T>): T {
  return read.decode(write.encode(value, encoder), decoder);
}

test("numbers keep their value at the limits of their types", () => {
  for (const value of [0, 255]) {
    assert.equal(roundtrip(value, write.encodeByte, read.decodeByte), value);
  }
  for (const value of [-32768, -1, 0, 32767]) {
    assert.equal(roundtrip(value, write.encodeShort, read.decodeShort), value);
  }
  for (const value of [-2147483648, -1, 2147483647]) {
    assert.equal(roundtrip(value, write.encodeInt, read.decodeInt), value);
  }
  for (const value of [-(2n ** 63n), -1n, 2n ** 63n - 1n]) {
    assert.equal(roundtrip(value, write.encodeLong, read.decodeLong), value);
  }
  for (const value of [NaN, -0, Infinity, 5e-324, 1.7976931348623157e308]) {
    assert.ok(Object.is(roundtrip(value, write.encodeDouble, read.decodeDouble), value));
  }
  for (const value of [NaN, -0, -Infinity, Math.fround(3.4e38)]) {
    assert.ok(Object.is(roundtrip(value, write.encodeFloat, read.decodeFloat), value));
  }
});

test("a long may be given as a number", () => {
  const bytes = write.encode<bigint | number>(-5, write.encodeLong);
  assert.equal(read.decode(bytes, read.decodeLong), -5n);
});

test("a value that its type can't hold is an error that names it", () => {
  for (const [value, encoder, message] of [
    [256, write.encodeByte, /256 is not a byte/],
    [-32769, write.encodeShort, /-32769 is not a short/],
    [2 ** 31, write.encodeInt, /2147483648 is not an int/],
    [1.5, write.encodeInt, /1.5 is not an int/],
    [NaN, write.encodeInt, /NaN is not an int/],
    ["7", write.encodeInt, /7 is not an int/],
    [2n ** 63n, write.encodeLong, /9223372036854775808 is not a long/],
    [2 ** 53, write.encodeLong, /not a safe integer/],
    [undefined, write.encodeString, /a string is needed, not undefined/],
    ["\ud800", write.encodeString, /half of a surrogate pair/],
    [1, write.encodeBool, /a boolean is needed/],
    ["1", write.encodeDouble, /a number is needed/],
    [[1], write.encodeBytes, /a Uint8Array is needed/],
  ] as const) {
    const encoder_ = encoder as write.Encode<unknown>;
    assert.throws(() => write.encode<unknown>(value, encoder_), { message });
  }
});

test("texts of all lengths and characters keep their value", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 300 }), (text) => {
      assert.equal(roundtrip(text, write.encodeString, read.decodeString), text);
    }),
  );
  for (const text of ["", "\ufeffmark", "😀".repeat(40), "a".repeat(1 << 20), "é".repeat(49)]) {
    assert.equal(roundtrip(text, write.encodeString, read.decodeString), text);
  }
});

test("containers keep their values", () => {
  const bytes = new Uint8Array(1 << 20).fill(7);
  assert.deepEqual(roundtrip(bytes, write.encodeBytes, read.decodeBytes), bytes);
  const table = [[1, -1], [], [2]];
  const decoded = read.decode(
    write.encode(table, (out, rows: number[][]) => {
      write.encodeSequence(out, rows, (out, row) => {
        write.encodeSequence(out, row, write.encodeInt);
      });
    }),
    (input) => read.decodeSequence(input, (input) => read.decodeSequence(input, read.decodeInt, 4), 4),
  );
  assert.deepEqual(decoded, table);
  const names = new Map([
    [3n, "c"],
    [-1n, ""],
  ]);
  const map = read.decode(
    write.encode(names, (out, map: Map<bigint, string>) => {
      write.encodeDictionary(out, map, write.encodeLong, write.encodeString);
    }),
    (input) => read.decodeDictionary(input, read.decodeLong, read.decodeString, 12),
  );
  assert.deepEqual(map, names);
});

test("decoded bytes do not share memory with the input", () => {
  const input = Buffer.from([0, 0, 0, 2, 1, 2]);
  const bytes = read.decode(input, read.decodeBytes);
  input.fill(9);
  assert.deepEqual([...bytes], [1, 2]);
  assert.equal(bytes.constructor, Uint8Array);
});

test("a count larger than the bytes left is an error before anything is allocated", () => {
  const bytes = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 1, 2);
  for (const decoder of [
    read.decodeBytes,
    read.decodeString,
    (input: read.Reader) => read.decodeSequence(input, read.decodeByte, 1),
    (input: read.Reader) => read.decodeDictionary(input, read.decodeByte, read.decodeByte, 2),
  ]) {
    assert.throws(() => read.decode<unknown>(bytes, decoder), DecodeError);
  }
});

test("nesting is limited", () => {
  const nested = (depth: number): Uint8Array => {
    const out = new write.Writer();
    for (let i = 1; i < depth; i++) {
      out.u32(1);
    }
    out.u32(0);
    return out.take();
  };
  const decoder: read.Decode<unknown[]> = (input) => read.decodeSequence(input, decoder, 4);
  read.decode(nested(DEFAULT_LIMITS.maxDepth), decoder);
  assert.throws(() => read.decode(nested(DEFAULT_LIMITS.maxDepth + 1), decoder), /nest deeper/);
  assert.throws(() => read.decode(nested(100_000), decoder), /nest deeper/);
});

test("strings that are not UTF-8 are an error", () => {
  for (const bad of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xf8, 0x88, 0x80, 0x80, 0x80]]) {
    const bytes = Uint8Array.from([0, 0, 0, bad.length, ...bad]);
    assert.throws(() => read.decode(bytes, read.decodeString), /not UTF-8/);
  }
});

test("extra keeps order and bytes, and its last value of a key counts", () => {
  const out = new write.Writer();
  out.u32(3);
  for (const text of ["b", "1", "a", "2", "b", "3"]) {
    out.text(text);
  }
  const bytes = out.take();
  const extra = Extra.decode(new read.Reader(bytes), DEFAULT_LIMITS);
  assert.deepEqual([...extra], [["b", "3"], ["a", "2"]]);
  assert.equal(extra.get("b"), "3");
  assert.equal(extra.get("c"), undefined);
  extra.encodeWith(out, new Map());
  assert.deepEqual(out.take(), bytes);
  extra.encodeWith(out, new Map([["b", "4"]]));
  const patched = Extra.decode(new read.Reader(out.take()), DEFAULT_LIMITS);
  assert.deepEqual([...patched], [["a", "2"], ["b", "4"]]);
});

test("extra that is not UTF-8 is readable, and its bytes stay", () => {
  const bytes = Uint8Array.from([0, 0, 0, 1, 0, 0, 0, 1, 0x6b, 0, 0, 0, 1, 0xe9]);
  const extra = Extra.decode(new read.Reader(bytes), DEFAULT_LIMITS);
  assert.equal(extra.get("k"), "\ufffd");
  assert.deepEqual([...(extra.getBytes("k") ?? [])], [0xe9]);
});

test("extra has limits", () => {
  const limits = { ...DEFAULT_LIMITS, maxExtraEntries: 2, maxExtraBytes: 64 };
  const encoded = (count: number, size: number): read.Reader => {
    const out = new write.Writer();
    out.u32(count);
    for (let i = 0; i < count * 2; i++) {
      out.text("x".repeat(size));
    }
    return new read.Reader(out.take());
  };
  assert.equal(Extra.decode(encoded(2, 4), limits).size, 1);
  assert.throws(() => Extra.decode(encoded(3, 1), limits), /entries/);
  assert.throws(() => Extra.decode(encoded(2, 40), limits), /bytes/);
});

test("the text of an error travels in ASCII", () => {
  assert.equal(escapeAscii("café \\u \\n 😀"), "caf\\u00e9 \\u005cu \\n \\ud83d\\ude00");
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const escaped = escapeAscii(text);
      assert.match(escaped, /^[\0-\x7f]*$/);
      assert.equal(unescapeAscii(escaped), text);
    }),
  );
});
