/** The frames that wait for a transport, and when they are written. */

import { ErrorCode, RpcError } from "./errors.js";
import { FRAME_HEADER_SIZE, MAGIC, SIZE_OVERHEAD, VERSION } from "./frame.js";
import { encodeHeader, type Header } from "./message.js";
import type { Transport } from "./transport.js";
import { Writer } from "./writer.js";

/** Compresses a payload with zlib. */
export type Deflate = (payload: Uint8Array) => Uint8Array;

/** Bytes that have gathered to this size are written at once: the peer begins to read them. */
const FLUSH_SIZE = 64 << 10;
/** Payloads of more bytes than this are compressed where the endpoint says so. */
const COMPRESS_THRESHOLD = 100;

/**
 * Frames gather until the end of the current turn of the program, and leave in one write. Writing
 * each frame at once would cost a system call for each of the calls that a turn makes.
 */
export class WriteBuffer {
  readonly #limit: number;
  readonly #maxFrame: number;
  readonly #deflate: Deflate | undefined;
  #out = new Writer();
  #transport: Transport | undefined;
  #isScheduled = false;
  /** Bytes that were handed to the transport. */
  #written = 0;

  constructor(limit: number, maxFrame: number, deflate: Deflate | undefined) {
    this.#limit = limit;
    this.#maxFrame = maxFrame;
    this.#deflate = deflate;
  }

  attach(transport: Transport): void {
    this.#transport = transport;
    this.#out = new Writer();
    this.#written = 0;
  }

  detach(): void {
    this.#transport = undefined;
  }

  /** The bytes that the system has not taken yet. */
  get buffered(): number {
    return this.#out.length + (this.#transport?.bufferedAmount ?? 0);
  }

  /** The bytes that the system has taken since the transport was attached. */
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
      const isCompressed = this.#deflate !== undefined && this.#compress(start, this.#deflate);
      this.#finish(start, isCompressed);
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
      throw new RpcError(ErrorCode.SendFailed, text);
    }
    const at = out.offsetOf(start);
    out.setU32(at, MAGIC);
    out.setU32(at + 4, size);
    out.bytes[at + 8] = isCompressed ? 1 : 0;
    out.bytes[at + 9] = 0;
    out.setU32(at + 10, VERSION);
  }

  /** Compresses the payload of the frame at `start`, unless that makes it longer. */
  #compress(start: number, deflate: Deflate): boolean {
    const out = this.#out;
    const payload = start + FRAME_HEADER_SIZE;
    const size = out.length - payload;
    if (size <= COMPRESS_THRESHOLD) {
      return false;
    }
    const at = out.offsetOf(payload);
    const compressed = deflate(out.bytes.subarray(at, at + size));
    if (compressed.length >= size) {
      return false;
    }
    out.truncate(payload);
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
