/** The frames that wait for their transport, and when they are written. */

import { RpcError, SENDFAILED } from "./errors.js";
import { FRAME_HEADER_SIZE, MAGIC, SIZE_OVERHEAD, VERSION } from "./frame.js";
import { encodeHeader, type Header } from "./message.js";
import type { Transport } from "./transport.js";
import { Writer } from "./writer.js";

/** Compresses a payload with zlib; undefined where that is not worth it. */
export type Deflate = (payload: Uint8Array) => Uint8Array | undefined;

/** Bytes that have gathered to this size are written at once: the peer begins to read them. */
const FLUSH_SIZE = 64 << 10;

/**
 * Frames gather until the end of the current turn of the program, and leave in one write. Writing
 * each frame at once would cost a system call for each of the calls that a turn makes.
 */
export class WriteBuffer {
  readonly #limit: number;
  readonly #maxFrame: number;
  readonly #deflate: Deflate | undefined;
  readonly #out = new Writer();
  #transport: Transport | undefined;
  #isScheduled = false;
  /** Bytes that were handed to the transport. */
  #written = 0;

  constructor(
    transport: Transport,
    limit: number,
    maxFrame: number,
    deflate: Deflate | undefined,
  ) {
    this.#transport = transport;
    this.#limit = limit;
    this.#maxFrame = maxFrame;
    this.#deflate = deflate;
  }

  /** The transport has ended: what waits is dropped. */
  detach(): void {
    this.#transport = undefined;
  }

  /** The bytes that the system has not taken yet. */
  get buffered(): number {
    return this.#out.length + (this.#transport?.bufferedAmount ?? 0);
  }

  /** The bytes that the system has taken. */
  get sent(): number {
    return this.#written - (this.#transport?.bufferedAmount ?? 0);
  }

  get isFull(): boolean {
    return this.buffered >= this.#limit;
  }

  /**
   * Appends a message. Where an error is thrown, nothing has been appended: SENDFAILED if the
   * frame is too large, or what `body` throws.
   */
  frame(header: Header, body: (out: Writer) => void): void {
    const out = this.#out;
    const start = out.length;
    try {
      out.reserve(FRAME_HEADER_SIZE);
      encodeHeader(out, header);
      body(out);
      this.#finish(start, this.#compress(start + FRAME_HEADER_SIZE));
    } catch (error) {
      out.truncate(start);
      throw error;
    }
    if (out.length >= FLUSH_SIZE) {
      this.flush();
    } else if (!this.#isScheduled) {
      this.#isScheduled = true;
      queueMicrotask(() => {
        this.#isScheduled = false;
        this.flush();
      });
    }
  }

  #finish(start: number, isCompressed: boolean): void {
    const out = this.#out;
    const size = out.length - start - FRAME_HEADER_SIZE + SIZE_OVERHEAD;
    if (size > this.#maxFrame) {
      const text = `the message has ${size} bytes; the limit of a frame is ${this.#maxFrame}`;
      throw new RpcError(SENDFAILED, text);
    }
    const at = out.offsetOf(start);
    out.setU32(at, MAGIC);
    out.setU32(at + 4, size);
    out.bytes[at + 8] = isCompressed ? 1 : 0;
    out.bytes[at + 9] = 0;
    out.setU32(at + 10, VERSION);
  }

  /** Compresses the payload at `start`, and returns whether that was worth it. */
  #compress(start: number): boolean {
    const out = this.#out;
    const at = out.offsetOf(start);
    const compressed = this.#deflate?.(out.bytes.subarray(at, at + out.length - start));
    if (compressed === undefined) {
      return false;
    }
    out.truncate(start);
    out.put(compressed);
    return true;
  }

  flush(): void {
    if (this.#transport !== undefined && this.#out.length > 0) {
      const bytes = this.#out.take();
      this.#written += bytes.length;
      this.#transport.write(bytes);
    }
  }
}
