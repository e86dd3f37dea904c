/**
 * Bytes to values. Counts and lengths from a peer are checked against the bytes that are left
 * before anything is allocated.
 */

import { DecodeError } from "./errors.js";
import { DEFAULT_LIMITS, type Limits } from "./limits.js";

/** Reads one value from the front of the input. */
export type Decode<T> = (input: Reader) => T;

// A byte order mark is a character of the string, which `ignoreBOM` keeps.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Replaces what is not UTF-8 by U+FFFD: extra of older peers need not be UTF-8. */
export const lossyUtf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Reads values from a part of a byte array, which it does not copy. */
export class Reader {
  readonly bytes: Uint8Array;
  /** The offset of the next value. */
  offset: number;
  /** Where the input ends. */
  readonly end: number;
  #view: DataView | undefined;
  #depthLeft: number;

  constructor(bytes: Uint8Array, limits: Limits = DEFAULT_LIMITS, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.offset = start;
    this.end = end;
    this.#depthLeft = limits.maxDepth;
  }

  /** The number of bytes that are left. */
  get left(): number {
    return this.end - this.offset;
  }

  /** Moves over `count` bytes and returns their offset. */
  skip(count: number): number {
    const at = this.offset;
    if (count > this.end - at) {
      throw new DecodeError(`${count} bytes are needed, ${this.end - at} are left`);
    }
    this.offset = at + count;
    return at;
  }

  byte(): number {
    return this.bytes[this.skip(1)] as number;
  }

  u16(): number {
    const at = this.skip(2);
    return ((this.bytes[at] as number) << 8) | (this.bytes[at + 1] as number);
  }

  /** Also a length or a count. */
  u32(): number {
    return this.i32() >>> 0;
  }

  i32(): number {
    const at = this.skip(4);
    const bytes = this.bytes;
    return (
      ((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)
    );
  }

  /** For numbers that byte arithmetic can't read. */
  view(): DataView {
    const { buffer, byteOffset, byteLength } = this.bytes;
    return (this.#view ??= new DataView(buffer, byteOffset, byteLength));
  }

  /** The count of elements of at least `minSize` bytes each. */
  count(minSize: number): number {
    const count = this.u32();
    if (count * minSize > this.left) {
      throw new DecodeError(
        `${count} elements do not fit in the ${this.left} bytes left`,
      );
    }
    return count;
  }

  /** Begins a nesting level, which {@link Reader.leave} ends. */
  enter(): void {
    if (this.#depthLeft === 0) {
      throw new DecodeError("values nest deeper than the limit");
    }
    this.#depthLeft -= 1;
  }

  leave(): void {
    this.#depthLeft += 1;
  }
}

/** A plain array with bytes of its own: `slice` of a Node Buffer makes a Buffer. */
export function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const copy = new Uint8Array(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}

export function decodeByte(input: Reader): number {
  return input.byte();
}

/** Any byte but zero reads as true. */
export function decodeBool(input: Reader): boolean {
  return input.byte() !== 0;
}

export function decodeShort(input: Reader): number {
  return (input.u16() << 16) >> 16;
}

export function decodeInt(input: Reader): number {
  return input.i32();
}

export function decodeLong(input: Reader): bigint {
  return input.view().getBigInt64(input.skip(8));
}

export function decodeFloat(input: Reader): number {
  return input.view().getFloat32(input.skip(4));
}

export function decodeDouble(input: Reader): number {
  return input.view().getFloat64(input.skip(8));
}

export function decodeString(input: Reader): string {
  const length = input.u32();
  const start = input.skip(length);
  try {
    return utf8.decode(input.bytes.subarray(start, start + length));
  } catch {
    throw new DecodeError("a string is not UTF-8");
  }
}

/** A copy: the input belongs to the connection. */
export function decodeBytes(input: Reader): Uint8Array {
  const length = input.count(1);
  input.enter();
  const start = input.skip(length);
  input.leave();
  return copyOf(input.bytes, start, start + length);
}

/** `minSize`: the minimum encoded size of an element in bytes. */
export function decodeSequence<T>(input: Reader, element: Decode<T>, minSize: number): T[] {
  const count = input.count(minSize);
  input.enter();
  const elements: T[] = [];
  for (let i = 0; i < count; i++) {
    elements.push(element(input));
  }
  input.leave();
  return elements;
}

/** `minSize`: the minimum encoded size of a key and its value in bytes. */
export function decodeDictionary<K, V>(
  input: Reader,
  key: Decode<K>,
  value: Decode<V>,
  minSize: number,
): Map<K, V> {
  const count = input.count(minSize);
  input.enter();
  const entries = new Map<K, V>();
  for (let i = 0; i < count; i++) {
    const name = key(input);
    entries.set(name, value(input));
  }
  input.leave();
  return entries;
}

/** The result of a `void` operation. */
export function decodeVoid(): void {
  // Nothing is on the wire.
}

/** Decodes a value from all of `bytes`; bytes left over after it are ignored. */
export function decode<T>(bytes: Uint8Array, decoder: Decode<T>, limits?: Limits): T {
  return decoder(new Reader(bytes, limits));
}
