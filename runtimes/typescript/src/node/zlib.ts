/** Compression by Node's own zlib, which is several times as fast as that of the browser client. */

import { constants, deflateSync, inflateSync } from "node:zlib";

import { FrameError } from "../errors.js";
import { bomb, type Inflate } from "../inflate.js";
import type { Deflate } from "../write_buffer.js";

export const inflate: Inflate = (stream, limit) => {
  try {
    return inflateSync(stream, { maxOutputLength: limit });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
      throw bomb(limit);
    }
    throw new FrameError("a frame's zlib stream does not inflate");
  }
};

/** Payloads of more bytes than this are compressed. */
const COMPRESS_THRESHOLD = 100;

export const compressor: Deflate = (payload) => {
  if (payload.length <= COMPRESS_THRESHOLD) {
    return undefined;
  }
  const compressed = deflateSync(payload, { level: constants.Z_BEST_SPEED });
  return compressed.length < payload.length ? compressed : undefined;
};
