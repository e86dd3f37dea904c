/** Finds peers that read nothing, that do not finish a frame, or that are gone. */

import { RpcError, TIMEOUT } from "./errors.js";
import type { Deframer } from "./frame.js";
import type { Settings } from "./options.js";
import type { Transport } from "./transport.js";
import type { WriteBuffer } from "./write_buffer.js";

/** The checks within the time that a slow peer has. */
const CHECKS = 4;

/** What a watchdog does to its connection. */
export interface Watched {
  /** Whether this side reads nothing, since it can't serve more calls. */
  readonly isPaused: boolean;
  /** Ends the transport at once. */
  abort(reason: string): void;
  /** Calls the built-in `ping` of the peer. */
  ping(timeoutMs: number): Promise<void>;
}

/** Watches one transport of a connection. */
export class Watchdog {
  readonly #watched: Watched;
  readonly #transport: Transport;
  readonly #buffer: WriteBuffer;
  readonly #deframer: Deframer;
  readonly #settings: Settings;
  #slowTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #idleTimer: ReturnType<typeof setInterval> | undefined;
  /** Whether the peer has answered a `ping`: older peers may never do. */
  #hasAnswered = false;
  #isStopped = false;

  constructor(
    watched: Watched,
    transport: Transport,
    buffer: WriteBuffer,
    deframer: Deframer,
    settings: Settings,
  ) {
    this.#watched = watched;
    this.#transport = transport;
    this.#buffer = buffer;
    this.#deframer = deframer;
    this.#settings = settings;
    this.#idleTimer = this.#keepAlive();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#slowTimer);
    clearInterval(this.#idleTimer);
  }

  get #hasWork(): boolean {
    return this.#deframer.hasPartial || this.#buffer.buffered > 0;
  }

  /** To be called when bytes were sent or received: watches them until none wait. */
  watch(): void {
    if (this.#slowTimer !== undefined || this.#isStopped || !this.#hasWork) {
      return;
    }
    const { frameTimeMs, stallTimeMs } = this.#settings;
    const interval = Math.min(frameTimeMs, stallTimeMs) / CHECKS;
    let { sent } = this.#buffer;
    let { frames } = this.#deframer;
    let [stalledFor, partialFor] = [0, 0];
    const check = (): void => {
      this.#slowTimer = undefined;
      const isStalled = this.#buffer.buffered > 0 && this.#buffer.sent === sent;
      const isUnread = this.#watched.isPaused || this.#deframer.frames !== frames;
      const isPartial = this.#deframer.hasPartial && !isUnread;
      stalledFor = isStalled ? stalledFor + interval : 0;
      partialFor = isPartial ? partialFor + interval : 0;
      ({ sent } = this.#buffer);
      ({ frames } = this.#deframer);
      if (stalledFor >= stallTimeMs) {
        this.#watched.abort(`the peer took no bytes for ${stallTimeMs} ms`);
      } else if (partialFor >= frameTimeMs) {
        this.#watched.abort(`a frame did not arrive within ${frameTimeMs} ms`);
      } else if (this.#hasWork) {
        this.#slowTimer = setTimeout(check, interval);
      }
    };
    this.#slowTimer = setTimeout(check, interval);
  }

  #keepAlive(): ReturnType<typeof setInterval> | undefined {
    const transport = this.#transport;
    const { pingIntervalMs } = this.#settings;
    if (!transport.isProbed) {
      let { frames } = this.#deframer;
      return setInterval(() => {
        if (this.#deframer.frames === frames) {
          void this.#probe(pingIntervalMs);
        }
        ({ frames } = this.#deframer);
      }, pingIntervalMs);
    }
    if (transport.ping === undefined) {
      return undefined;
    }
    let { sent } = this.#buffer;
    return setInterval(() => {
      if (this.#buffer.sent === sent) {
        transport.ping?.();
      }
      ({ sent } = this.#buffer);
    }, pingIntervalMs / 2);
  }

  /** Ends the connection of a peer that has answered before, and does not now. */
  async #probe(timeoutMs: number): Promise<void> {
    const { frames } = this.#deframer;
    try {
      await this.#watched.ping(timeoutMs);
      this.#hasAnswered = true;
    } catch (error) {
      if (!(error instanceof RpcError)) {
        return;
      }
      const isSilent = error.code === TIMEOUT && this.#deframer.frames === frames;
      if (error.side === "remote") {
        this.#hasAnswered = true;
      } else if (isSilent && this.#hasAnswered && !this.#isStopped) {
        this.#watched.abort(`the peer answers no ping within ${timeoutMs} ms`);
      }
    }
  }
}
