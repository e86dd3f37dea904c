/** Values to bytes. A value that its type can't hold is an error before anything is sent. */

/** Appends one value. */
export type Encode<T> = (out: Writer, value: T) => void;

/** The bytes that are allocated at a time. */
const CHUNK = 16 << 10;
/** A string of at most this length may be ASCII, which a loop encodes faster than the platform. */
const SHORT_STRING = 48;

const utf8 = new TextEncoder();

/** Appends values to a buffer that grows. */
export class Writer {
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView | undefined;
  /** Where the bytes begin that were not taken yet. */
  #start = 0;
  #end = 0;

  /** The number of bytes that were not taken yet. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** The bytes that were written since the last call. They are not written to again. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(this.#start, this.#end);
    this.#start = this.#end;
    return taken;
  }

  /** Removes what was written after `length` bytes. */
  truncate(length: number): void {
    this.#end = this.#start + length;
  }

  /** The offset in {@link Writer.bytes} of what was written after `length` bytes. */
  offsetOf(length: number): number {
    return this.#start + length;
  }

  /** Reserves `count` bytes and returns their offset in {@link Writer.bytes}. */
  reserve(count: number): number {
    const at = this.#end;
    if (at + count > this.#bytes.length) {
      return this.#grow(count);
    }
    this.#end = at + count;
    return at;
  }

  #grow(count: number): number {
    const kept = this.#bytes.subarray(this.#start, this.#end);
    const needed = kept.length + count;
    // What was taken keeps the old buffer; a larger one doubles, so that growing stays linear.
    const bytes = new Uint8Array(Math.max(CHUNK, kept.length === 0 ? needed : needed * 2));
    bytes.set(kept);
    this.#bytes = bytes;
    this.#view = undefined;
    this.#start = 0;
    this.#end = needed;
    return kept.length;
  }

  /** The buffer, until the next value is written. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  get view(): DataView {
    const { buffer, byteOffset, byteLength } = this.#bytes;
    return (this.#view ??= new DataView(buffer, byteOffset, byteLength));
  }

  byte(value: number): void {
    const at = this.reserve(1);
    this.#bytes[at] = value;
  }

  u16(value: number): void {
    const at = this.reserve(2);
    this.#bytes[at] = value >> 8;
    this.#bytes[at + 1] = value;
  }

  /** The low 32 bits of a signed or unsigned number, a length or a count. */
  u32(value: number): void {
    this.setU32(this.reserve(4), value);
  }

  setU32(at: number, value: number): void {
    const bytes = this.#bytes;
    bytes[at] = value >> 24;
    bytes[at + 1] = value >> 16;
    bytes[at + 2] = value >> 8;
    bytes[at + 3] = value;
  }

  put(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** A string with its length in front. */
  text(value: string): void {
    if (value.length <= SHORT_STRING && this.#ascii(value)) {
      return;
    }
    if (!value.isWellFormed()) {
      throw new RangeError("a string has half of a surrogate pair");
    }
    // A UTF-16 code unit becomes at most three bytes.
    const at = this.reserve(4 + value.length * 3);
    const { written } = utf8.encodeInto(value, this.#bytes.subarray(at + 4));
    this.setU32(at, written);
    this.#end = at + 4 + written;
  }

  /** Returns false, and writes nothing, unless all of the string is ASCII. */
  #ascii(value: string): boolean {
    const length = value.length;
    const at = this.reserve(4 + length);
    const bytes = this.#bytes;
    for (let i = 0; i < length; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) {
        this.#end = at;
        return false;
      }
      bytes[at + 4 + i] = unit;
    }
    this.setU32(at, length);
    return true;
  }
}

function checkInteger(value: number, min: number, max: number, type: string): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${String(value)} is not ${type}: an integer from ${min} to ${max}`);
  }
}

function checkType(value: unknown, type: "boolean" | "number" | "string"): void {
  if (typeof value !== type) {
    throw new TypeError(`a ${type} is needed, not ${typeof value}`);
  }
}

export function encodeByte(out: Writer, value: number): void {
  checkInteger(value, 0, 255, "a byte");
  out.byte(value);
}

export function encodeBool(out: Writer, value: boolean): void {
  checkType(value, "boolean");
  out.byte(value ? 1 : 0);
}

export function encodeShort(out: Writer, value: number): void {
  checkInteger(value, -32768, 32767, "a short");
  out.u16(value);
}

export function encodeInt(out: Writer, value: number): void {
  checkInteger(value, -2147483648, 2147483647, "an int");
  out.u32(value);
}

/** A number must be a safe integer: others may have lost digits already. */
export function encodeLong(out: Writer, value: bigint | number): void {
  if (typeof value !== "bigint") {
    if (!Number.isSafeInteger(value)) {
      throw new RangeError(`${String(value)} is not a safe integer: use a bigint`);
    }
    value = BigInt(value);
  }
  if (BigInt.asIntN(64, value) !== value) {
    throw new RangeError(`${value} is not a long: 64 bits, signed`);
  }
  const at = out.reserve(8);
  out.view.setBigInt64(at, value);
}

export function encodeFloat(out: Writer, value: number): void {
  checkType(value, "number");
  const at = out.reserve(4);
  out.view.setFloat32(at, value);
}

export function encodeDouble(out: Writer, value: number): void {
  checkType(value, "number");
  const at = out.reserve(8);
  out.view.setFloat64(at, value);
}

export function encodeString(out: Writer, value: string): void {
  checkType(value, "string");
  out.text(value);
}

export function encodeBytes(out: Writer, value: Uint8Array): void {
  if (!(value instanceof Uint8Array)) {
    throw new TypeError(`a Uint8Array is needed, not ${typeof value}`);
  }
  out.u32(value.length);
  out.put(value);
}

export function encodeSequence<T>(out: Writer, value: readonly T[], element: Encode<T>): void {
  if (!Array.isArray(value)) {
    throw new TypeError(`an array is needed, not ${typeof value}`);
  }
  out.u32(value.length);
  for (const item of value) {
    element(out, item as T);
  }
}

export function encodeDictionary<K, V>(
  out: Writer,
  value: ReadonlyMap<K, V>,
  key: Encode<K>,
  item: Encode<V>,
): void {
  if (!(value instanceof Map)) {
    throw new TypeError(`a Map is needed, not ${typeof value}`);
  }
  out.u32(value.size);
  for (const [name, entry] of value as ReadonlyMap<K, V>) {
    key(out, name);
    item(out, entry);
  }
}

/** The result of a `void` operation. */
export function encodeVoid(): void {
  // Nothing is on the wire.
}

/** Encodes a value into bytes of its own. */
export function encode<T>(value: T, encoder: Encode<T>): Uint8Array {
  const out = new Writer();
  encoder(out, value);
  return out.take();
}
