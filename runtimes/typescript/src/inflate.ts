/**
 * Inflates zlib streams where the platform has no synchronous function for it (RFC 1950, 1951).
 *
 * `DecompressionStream` would not do: it refuses bytes after the end of a stream, with which older
 * peers pad, and it is asynchronous, so that each frame behind one would have to wait in a queue.
 */

import { FrameError } from "./errors.js";

/** Inflates a zlib stream to at most `limit` bytes; bytes after its end are ignored. */
export type Inflate = (stream: Uint8Array, limit: number) => Uint8Array;

const MAX_BITS = 15;
/** The order in which the lengths of the code for code lengths are sent. */
const LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/** The largest sum of bytes of which Adler-32 need not take the remainder at once. */
const ADLER_RUN = 5552;
const ADLER_BASE = 65521;

function malformed(): FrameError {
  return new FrameError("a frame's zlib stream does not inflate");
}

export function bomb(limit: number): FrameError {
  return new FrameError(`a frame inflates to more than the limit of ${limit} bytes`);
}

/** A canonical Huffman code: how many codes each length has, and the symbols in code order. */
interface Huffman {
  readonly counts: Uint16Array;
  readonly symbols: Uint16Array;
}

function huffman(lengths: Uint8Array): Huffman {
  const counts = new Uint16Array(MAX_BITS + 1);
  lengths.forEach((length) => (counts[length] as number)++);
  const offsets = new Uint16Array(MAX_BITS + 2);
  // A code of one symbol may be incomplete; more codes than a length can have never decode.
  let free = 1;
  for (let length = 1; length <= MAX_BITS; length++) {
    const count = counts[length] as number;
    free = free * 2 - count;
    if (free < 0) {
      throw malformed();
    }
    offsets[length + 1] = (offsets[length] as number) + count;
  }
  const symbols = new Uint16Array(lengths.length);
  lengths.forEach((length, symbol) => {
    if (length !== 0) {
      symbols[(offsets[length] as number)++] = symbol;
    }
  });
  return { counts, symbols };
}

/** The base values and extra bits of lengths (group 4) and distances (group 2). */
function table(count: number, group: number, first: number): [Uint16Array, Uint8Array] {
  const bases = new Uint16Array(count);
  const bits = new Uint8Array(count);
  let base = first;
  for (let i = 0; i < count; i++) {
    bits[i] = Math.max(0, Math.floor(i / group) - 1);
    bases[i] = base;
    base += 1 << (bits[i] as number);
  }
  return [bases, bits];
}

const [LENGTH_BASES, LENGTH_BITS] = /* @__PURE__ */ table(29, 4, 3);
const [DISTANCE_BASES, DISTANCE_BITS] = /* @__PURE__ */ table(30, 2, 1);
/** Length 258 has a symbol of its own. */
const LAST_LENGTH = 28;
const MAX_LENGTH = 258;

let fixed: readonly [Huffman, Huffman] | undefined;

function fixedCodes(): readonly [Huffman, Huffman] {
  if (fixed === undefined) {
    const lengths = new Uint8Array(288).fill(8).fill(9, 144, 256).fill(7, 256, 280);
    fixed = [huffman(lengths), huffman(new Uint8Array(30).fill(5))];
  }
  return fixed;
}

class Inflater {
  readonly #input: Uint8Array;
  readonly #limit: number;
  #at = 2;
  #bits = 0;
  #bitCount = 0;
  #out = new Uint8Array(1 << 10);
  #length = 0;

  constructor(input: Uint8Array, limit: number) {
    this.#input = input;
    this.#limit = limit;
  }

  run(): Uint8Array {
    const header = ((this.#input[0] ?? 0) << 8) | (this.#input[1] ?? 0);
    const isZlib = (header & 0x0f20) === 0x0800 && header >> 12 <= 7 && header % 31 === 0;
    if (!isZlib) {
      throw malformed();
    }
    let isLast = false;
    while (!isLast) {
      isLast = this.#take(1) === 1;
      this.#block(this.#take(2));
    }
    this.#align();
    const expected = this.#take(8) * 0x1000000 + this.#take(8) * 0x10000 + this.#take(8) * 0x100;
    const out = this.#out.subarray(0, this.#length);
    if (expected + this.#take(8) !== adler32(out)) {
      throw malformed();
    }
    return out;
  }

  #take(count: number): number {
    while (this.#bitCount < count) {
      const byte = this.#input[this.#at++];
      if (byte === undefined) {
        throw malformed();
      }
      this.#bits |= byte << this.#bitCount;
      this.#bitCount += 8;
    }
    const bits = this.#bits & ((1 << count) - 1);
    this.#bits >>>= count;
    this.#bitCount -= count;
    return bits;
  }

  #symbol({ counts, symbols }: Huffman): number {
    let code = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length <= MAX_BITS; length++) {
      code |= this.#take(1);
      const count = counts[length] as number;
      if (code - first < count) {
        return symbols[index + code - first] as number;
      }
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw malformed();
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed > this.#limit) {
      throw bomb(this.#limit);
    }
    if (needed > this.#out.length) {
      const grown = new Uint8Array(Math.min(this.#limit, Math.max(needed, this.#out.length * 2)));
      grown.set(this.#out.subarray(0, this.#length));
      this.#out = grown;
    }
  }

  #block(type: number): void {
    if (type === 0) {
      this.#stored();
    } else if (type === 1) {
      this.#compressed(...fixedCodes());
    } else if (type === 2) {
      this.#compressed(...this.#dynamicCodes());
    } else {
      throw malformed();
    }
  }

  /** Ignores what is left of a byte, whatever its bits are. */
  #align(): void {
    this.#bits = 0;
    this.#bitCount = 0;
  }

  #stored(): void {
    this.#align();
    const length = this.#take(8) | (this.#take(8) << 8);
    const complement = this.#take(8) | (this.#take(8) << 8);
    const end = this.#at + length;
    if ((length ^ complement) !== 0xffff || end > this.#input.length) {
      throw malformed();
    }
    this.#reserve(length);
    this.#out.set(this.#input.subarray(this.#at, end), this.#length);
    this.#length += length;
    this.#at = end;
  }

  #dynamicCodes(): [Huffman, Huffman] {
    const literals = this.#take(5) + 257;
    const distances = this.#take(5) + 1;
    const count = this.#take(4) + 4;
    const codeLengths = new Uint8Array(LENGTH_ORDER.length);
    LENGTH_ORDER.slice(0, count).forEach((at) => {
      codeLengths[at] = this.#take(3);
    });
    const code = huffman(codeLengths);
    const lengths = new Uint8Array(literals + distances);
    let at = 0;
    while (at < lengths.length) {
      const symbol = this.#symbol(code);
      if (symbol < 16) {
        lengths[at++] = symbol;
        continue;
      }
      const repeated = symbol === 16 ? lengths[at - 1] : 0;
      const [bits, least] = symbol === 16 ? [2, 3] : symbol === 17 ? [3, 3] : [7, 11];
      const end = at + least + this.#take(bits);
      if (repeated === undefined || end > lengths.length) {
        throw malformed();
      }
      lengths.fill(repeated, at, end);
      at = end;
    }
    return [huffman(lengths.subarray(0, literals)), huffman(lengths.subarray(literals))];
  }

  #compressed(literals: Huffman, distances: Huffman): void {
    for (;;) {
      const symbol = this.#symbol(literals);
      if (symbol < 256) {
        this.#reserve(1);
        this.#out[this.#length++] = symbol;
      } else if (symbol === 256) {
        return;
      } else {
        this.#copy(symbol - 257, distances);
      }
    }
  }

  #copy(symbol: number, distances: Huffman): void {
    const base = LENGTH_BASES[symbol];
    if (base === undefined) {
      throw malformed();
    }
    const isLongest = symbol === LAST_LENGTH;
    const length = isLongest ? MAX_LENGTH : base + this.#take(LENGTH_BITS[symbol] as number);
    const far = this.#symbol(distances);
    const distance = (DISTANCE_BASES[far] ?? 0) + this.#take(DISTANCE_BITS[far] ?? 0);
    const from = this.#length - distance;
    if (distance === 0 || from < 0) {
      throw malformed();
    }
    this.#reserve(length);
    const out = this.#out;
    // Byte by byte: the ranges may overlap, which repeats the bytes.
    for (let i = 0; i < length; i++) {
      out[this.#length + i] = out[from + i] as number;
    }
    this.#length += length;
  }
}

function adler32(bytes: Uint8Array): number {
  let a = 1;
  let b = 0;
  for (let start = 0; start < bytes.length; start += ADLER_RUN) {
    const end = Math.min(bytes.length, start + ADLER_RUN);
    for (let i = start; i < end; i++) {
      a += bytes[i] as number;
      b += a;
    }
    a %= ADLER_BASE;
    b %= ADLER_BASE;
  }
  return b * 0x10000 + a;
}

export const inflate: Inflate = (stream, limit) => new Inflater(stream, limit).run();
