/** What a connection needs of a socket or a WebSocket. */

/** How an open transport reports to its connection. */
export interface TransportEvents {
  /** Bytes have arrived. They do not change afterwards. */
  onBytes(bytes: Uint8Array): void;
  /** The peer has taken all bytes that waited. */
  onDrain(): void;
  /**
   * The transport has ended; nothing is reported afterwards. `code` and `text` are those of a
   * WebSocket's close frame.
   */
  onClose(reason: string, code?: number, text?: string): void;
}

/** An open byte stream. */
export interface Transport {
  /** Whether the system finds out by itself that the peer is gone. */
  readonly isProbed: boolean;
  /** The bytes that were written and that the system has not taken yet. */
  readonly bufferedAmount: number;
  /** Writes complete frames. The transport keeps the bytes; they do not change. */
  write(frames: Uint8Array): void;
  /** Stops and continues reading. Absent where the platform can't. */
  pause?(): void;
  resume?(): void;
  /** Sends a keep-alive message of the transport's own. Absent where it has none. */
  ping?(): void;
  /** Ends the stream after what was written; reports by `onClose`. */
  close(): void;
  /** Ends the stream at once; reports by `onClose`. */
  destroy(): void;
}

/** Takes a transport that is open, and returns what it reports to from then on. */
export type Opened = (transport: Transport) => TransportEvents;

/**
 * Opens a transport, and calls `opened` in the turn in which it opens, before bytes can arrive.
 * Rejects with an `RpcError` (CONNECT_UNREACHABLE, CONNECT_FAILED, CONNECT_REJECT) where that
 * fails. The signal ends the attempt; `opened` is not called afterwards.
 */
export type Dial = (opened: Opened, signal: AbortSignal) => Promise<void>;
