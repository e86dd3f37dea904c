/** Frames, which delimit messages in a byte stream. */

import { FrameError } from "./errors.js";
import type { Inflate } from "./inflate.js";
import type { Limits } from "./limits.js";

/** Magic, size, compress, encrypt and version, in bytes. */
export const FRAME_HEADER_SIZE = 14;
/** The bytes that `size` counts beside the payload. */
export const SIZE_OVERHEAD = 10;
export const MAGIC = 0xefd2bb99;
/** As Java and JavaScript peers write it; receivers ignore it. */
export const VERSION = 0x00000100;
const MAGIC_SIZE = 4;

/** A payload within a byte array, valid until the next call of the deframer. */
export interface Payload {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** The size of a frame at `at`, magic included. */
export function frameSizeAt(bytes: Uint8Array, at: number): number {
  return MAGIC_SIZE + readU32(bytes, at + MAGIC_SIZE);
}

function readU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/**
 * Splits a byte stream, which arrives in chunks of any size, into frames.
 *
 * A frame that is complete in one chunk is not copied. The received bytes of an incomplete one are
 * kept: memory grows with the bytes received, never with the announced size.
 */
export class Deframer {
  readonly #limits: Limits;
  readonly #inflate: Inflate;
  #chunk: Uint8Array = new Uint8Array(0);
  /** The offset of the next frame in the chunk. */
  #at = 0;
  /** The beginning of a frame that is not complete; a prefix of it is in use. */
  #carry: Uint8Array | undefined;
  #carried = 0;
  /** The number of frames returned. */
  frames = 0;

  constructor(limits: Limits, inflate: Inflate) {
    this.#limits = limits;
    this.#inflate = inflate;
  }

  /** Whether a frame has begun to arrive and is not complete. */
  get hasPartial(): boolean {
    return this.#carried > 0;
  }

  /** Adds bytes, which the deframer keeps until their frames are taken. */
  push(chunk: Uint8Array): void {
    const rest = this.#chunk.subarray(this.#at);
    this.#chunk = rest.length === 0 ? chunk : joined(rest, chunk);
    this.#at = 0;
  }

  /** The next frame's payload, inflated; `undefined` if more bytes are needed for it. */
  next(): Payload | undefined {
    return this.#carried > 0 ? this.#nextCarried() : this.#nextInChunk();
  }

  #nextInChunk(): Payload | undefined {
    const chunk = this.#chunk;
    const start = this.#at;
    const size = this.#sizeAt(chunk, start, chunk.length);
    if (size === undefined || start + size > chunk.length) {
      this.#keepRest(size);
      return undefined;
    }
    this.#at = start + size;
    return this.#payload(chunk, start, start + size);
  }

  /** Keeps the rest of the chunk, which belongs to its sender, until more bytes arrive. */
  #keepRest(size: number | undefined): void {
    const rest = this.#chunk.length - this.#at;
    if (rest > 0) {
      this.#carry = undefined;
      this.#carryUpTo(size ?? FRAME_HEADER_SIZE);
    }
    this.#chunk = new Uint8Array(0);
    this.#at = 0;
  }

  #nextCarried(): Payload | undefined {
    let size = this.#carrySize();
    if (size === undefined) {
      this.#carryUpTo(FRAME_HEADER_SIZE);
      size = this.#carrySize();
    }
    if (size !== undefined) {
      this.#carryUpTo(size);
    }
    const carry = this.#carry;
    if (carry === undefined || size === undefined || this.#carried < size) {
      return undefined;
    }
    this.#carry = undefined;
    this.#carried = 0;
    return this.#payload(carry, 0, size);
  }

  #carrySize(): number | undefined {
    return this.#carry && this.#sizeAt(this.#carry, 0, this.#carried);
  }

  /** Moves bytes from the chunk until `length` are carried; the buffer grows by doubling. */
  #carryUpTo(length: number): void {
    const missing = Math.min(length - this.#carried, this.#chunk.length - this.#at);
    const needed = this.#carried + missing;
    if (this.#carry === undefined || this.#carry.length < needed) {
      const grown = new Uint8Array(Math.max(needed, Math.min(length, needed * 2)));
      grown.set(this.#carry?.subarray(0, this.#carried) ?? []);
      this.#carry = grown;
    }
    this.#carry.set(this.#chunk.subarray(this.#at, this.#at + missing), this.#carried);
    this.#carried = needed;
    this.#at += missing;
  }

  /** The size of the frame at `at`, magic included, once its header is complete. */
  #sizeAt(bytes: Uint8Array, at: number, end: number): number | undefined {
    if (end - at < MAGIC_SIZE) {
      return undefined;
    }
    // After four bytes: a peer of another protocol may never send more.
    const magic = readU32(bytes, at);
    if (magic !== MAGIC) {
      const found = magic.toString(16).padStart(8, "0");
      throw new FrameError(
        `wrong magic 0x${found}: the peer does not speak TCE, or the endpoint's type is wrong`,
      );
    }
    if (end - at < FRAME_HEADER_SIZE) {
      return undefined;
    }
    const size = readU32(bytes, at + MAGIC_SIZE);
    const { maxFrame } = this.#limits;
    if (size > maxFrame) {
      throw new FrameError(`a frame announces ${size} bytes, more than the limit of ${maxFrame}`);
    }
    if (size <= SIZE_OVERHEAD) {
      throw new FrameError(`a frame announces the size ${size}; the minimum is 11`);
    }
    const [compress, encrypt] = [bytes[at + 8] as number, bytes[at + 9] as number];
    if (compress > 1) {
      throw new FrameError(`a frame has the unknown compression ${compress}`);
    }
    if (encrypt !== 0) {
      throw new FrameError(`a frame has the unknown encryption ${encrypt}`);
    }
    return MAGIC_SIZE + size;
  }

  #payload(bytes: Uint8Array, at: number, end: number): Payload {
    this.frames += 1;
    const start = at + FRAME_HEADER_SIZE;
    if (bytes[at + 8] === 0) {
      return { bytes, start, end };
    }
    const inflated = this.#inflate(bytes.subarray(start, end), this.#limits.maxInflated);
    return { bytes: inflated, start: 0, end: inflated.length };
  }
}
