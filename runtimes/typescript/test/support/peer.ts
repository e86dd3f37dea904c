/** A peer that sends and receives bytes of the test's choice. */

import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

import { Extra } from "#dist/extra.js";
import { Deframer } from "#dist/frame.js";
import { inflate } from "#dist/inflate.js";
import { DEFAULT_LIMITS } from "#dist/limits.js";
import { decodeHeader, encodeHeader, type Header } from "#dist/message.js";
import { Reader } from "#dist/reader.js";
import { Writer } from "#dist/writer.js";
import { eventually } from "./eventually.js";

/** A frame with the payload. */
export function framed(payload: Uint8Array, compress = 0): Buffer {
  const header = Buffer.alloc(14);
  header.writeUInt32BE(0xefd2bb99, 0);
  header.writeUInt32BE(payload.length + 10, 4);
  header[8] = compress;
  header.writeUInt32BE(0x0100, 10);
  return Buffer.concat([header, payload]);
}

/** A frame with a message. */
export function message(
  header: Partial<Header>,
  extra: Readonly<Record<string, string>> = {},
  params: Uint8Array = new Uint8Array(0),
): Buffer {
  const out = new Writer();
  encodeHeader(out, {
    msgtype: 1,
    sequence: 1,
    calltype: 1,
    ifidx: 0,
    opidx: 0,
    errcode: 0,
    callId: 0,
    ...header,
  });
  const pairs = Object.entries(extra);
  out.u32(pairs.length);
  for (const text of pairs.flat()) {
    out.text(text);
  }
  out.put(params);
  return framed(out.take());
}

/** A message that has arrived. */
export interface Received {
  readonly header: Header;
  readonly extra: Record<string, string>;
  readonly params: Buffer;
}

/** One end of a socket. */
export class RawPeer {
  readonly socket: Socket;
  readonly received: Received[] = [];
  isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    const deframer = new Deframer(DEFAULT_LIMITS, inflate);
    socket.on("data", (bytes) => {
      deframer.push(bytes);
      for (let it = deframer.next(); it !== undefined; it = deframer.next()) {
        const input = new Reader(it.bytes, DEFAULT_LIMITS, it.start, it.end);
        const header = decodeHeader(input);
        const extra = Object.fromEntries(Extra.decode(input, DEFAULT_LIMITS));
        const params = Buffer.from(input.bytes.subarray(input.offset, input.end));
        this.received.push({ header, extra, params });
      }
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.isClosed = true;
    });
  }

  static async connect(endpoint: string): Promise<RawPeer> {
    const socket = connect(Number(new URL(endpoint).port), "127.0.0.1");
    await once(socket, "connect");
    return new RawPeer(socket);
  }

  /** Waits for the message with this number. */
  async message(at = 0): Promise<Received> {
    await eventually(`message ${String(at)}`, () => this.received.length > at);
    return this.received[at] as Received;
  }

  closed(): Promise<void> {
    return eventually("the peer closes the connection", () => this.isClosed);
  }
}

/** A server that accepts sockets and leaves the rest to the test. */
export class RawServer {
  readonly #server: Server;
  readonly peers: RawPeer[] = [];

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => this.peers.push(new RawPeer(socket)));
  }

  static async listen(port = 0): Promise<RawServer> {
    const server = createServer();
    const raw = new RawServer(server);
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return raw;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get endpoint(): string {
    return `tcp://127.0.0.1:${String(this.port)}`;
  }

  /** Waits for the connection with this number. */
  async peer(at = 0): Promise<RawPeer> {
    await eventually(`connection ${String(at)}`, () => this.peers.length > at);
    return this.peers[at] as RawPeer;
  }

  /** Refuses further connections; those that there are stay. */
  stopAccepting(): void {
    this.#server.close();
  }

  async close(): Promise<void> {
    this.peers.forEach(({ socket }) => socket.destroy());
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
