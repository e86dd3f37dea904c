/** The metadata of a call: string pairs beside its parameters. */

import { DecodeError } from "./errors.js";
import type { Limits } from "./limits.js";
import { copyOf, lossyUtf8, type Reader } from "./reader.js";
import type { Writer } from "./writer.js";

/** The keys that the wire format reserves. */
export const TOKEN = "__token__";
export const DEVICE_ID = "__device_id__";
export const EXPIRES_IN = "__expires_in__";
export const RESUME = "__resume__";
export const EPOCH = "__epoch__";
export const OFFSET = "__offset__";
export const RECOVERED = "__recovered__";
export const CLOSE = "__close__";
export const USER_ID = "__user_id__";
export const ERROR = "__error__";
export const EXCEPTION = "__exception__";
export const EXCEPTION_DATA = "__exception_data__";
export const DEADLINE = "__deadline__";
export const REDELIVERED = "__redelivered__";

/** What a program gives as extra: an object, a `Map`, pairs, or the extra of another call. */
export type ExtraInit = Readonly<Record<string, string>> | Iterable<readonly [string, string]>;

export const NO_PAIRS: ReadonlyMap<string, string> = new Map();

function isIterable(init: ExtraInit): init is Iterable<readonly [string, string]> {
  return Symbol.iterator in init;
}

/** Sets pairs in a map; a key that it has keeps its place. */
export function addPairs(map: Map<string, string>, init: ExtraInit): void {
  for (const [key, value] of isIterable(init) ? init : Object.entries(init)) {
    map.set(key, value);
  }
}

/** Appends a map of pairs, behind others that are encoded already. */
export function encodePairs(
  out: Writer,
  pairs: ReadonlyMap<string, string>,
  encoded: readonly Uint8Array[] = [],
): void {
  out.u32(encoded.length + pairs.size);
  encoded.forEach((pair) => {
    out.put(pair);
  });
  for (const [key, value] of pairs) {
    out.text(key);
    out.text(value);
  }
}

/**
 * The extra of an incoming message, in the order in which it was sent.
 *
 * It need not be UTF-8: text is read with U+FFFD in place of what is not, and
 * {@link Extra.getBytes} returns the original. Of a key that was sent twice the last value counts.
 */
export class Extra implements Iterable<readonly [string, string]> {
  static readonly EMPTY = new Extra(0, new Uint8Array(0));

  /** The number of pairs as sent; a key may be among them twice. */
  readonly #count: number;
  /** The pairs as sent. */
  readonly #pairs: Uint8Array;
  #texts: Map<string, string> | undefined;

  private constructor(count: number, pairs: Uint8Array) {
    this.#count = count;
    this.#pairs = pairs;
  }

  /** Reads a map and keeps a copy of it. */
  static decode(input: Reader, limits: Limits): Extra {
    const start = input.offset;
    const count = input.u32();
    if (count === 0) {
      return Extra.EMPTY;
    }
    if (count > limits.maxExtraEntries) {
      throw new DecodeError(`extra has ${count} entries; the limit is ${limits.maxExtraEntries}`);
    }
    for (let i = 0; i < count * 2; i++) {
      input.skip(input.u32());
      if (input.offset - start > limits.maxExtraBytes) {
        throw new DecodeError(`extra has more bytes than the limit of ${limits.maxExtraBytes}`);
      }
    }
    return new Extra(count, copyOf(input.bytes, start + 4, input.offset));
  }

  *#entries(): Generator<[Uint8Array, Uint8Array, Uint8Array]> {
    const pairs = this.#pairs;
    const view = new DataView(pairs.buffer, pairs.byteOffset, pairs.byteLength);
    let at = 0;
    while (at < pairs.length) {
      const start = at;
      const keyEnd = at + 4 + view.getUint32(at);
      at = keyEnd + 4 + view.getUint32(keyEnd);
      yield [
        pairs.subarray(start + 4, keyEnd),
        pairs.subarray(keyEnd + 4, at),
        pairs.subarray(start, at),
      ];
    }
  }

  #decoded(): Map<string, string> {
    if (this.#texts === undefined) {
      this.#texts = new Map();
      for (const [key, value] of this.#entries()) {
        this.#texts.set(lossyUtf8.decode(key), lossyUtf8.decode(value));
      }
    }
    return this.#texts;
  }

  /** The number of different keys. */
  get size(): number {
    return this.#count === 0 ? 0 : this.#decoded().size;
  }

  /** The value of `key`. */
  get(key: string): string | undefined {
    return this.#count === 0 ? undefined : this.#decoded().get(key);
  }

  /** The value of `key` as it was sent, which may not be UTF-8. */
  getBytes(key: string): Uint8Array | undefined {
    let found: Uint8Array | undefined;
    for (const [name, value] of this.#entries()) {
      if (lossyUtf8.decode(name) === key) {
        found = value;
      }
    }
    return found;
  }

  /** The value of `key` if it is a decimal number; for the runtime. */
  getNumber(key: string): number | undefined {
    const text = this.get(key)?.trim();
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.#decoded().entries();
  }

  /** Appends the pairs as they were sent, with some added or replaced. */
  encodeWith(out: Writer, added: ReadonlyMap<string, string>): void {
    const kept: Uint8Array[] = [];
    for (const [key, , pair] of this.#entries()) {
      if (added.size === 0 || !added.has(lossyUtf8.decode(key))) {
        kept.push(pair);
      }
    }
    encodePairs(out, added, kept);
  }
}

/**
 * A text in ASCII: peers exist that count the characters of extra as bytes. Each other character
 * is `\uXXXX`, its UTF-16 code units, and a backslash before `u` is `\u005c`.
 */
export function escapeAscii(text: string): string {
  return text.replace(/[\u0080-\uffff]|\\(?=u)/g, (unit) => {
    return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** The text that {@link escapeAscii} has escaped; half of a surrogate pair becomes U+FFFD. */
export function unescapeAscii(text: string): string {
  const unescaped = text.replace(/\\u([0-9a-fA-F]{4})/g, (_, digits: string) => {
    return String.fromCharCode(parseInt(digits, 16));
  });
  return unescaped.toWellFormed();
}
