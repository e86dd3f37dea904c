/** Endpoints in text form: `tcp://host:port`, `wss://host:port/path`. */

import { ErrorCode, RpcError } from "../errors.js";

const SCHEMES = ["tcp", "ssl", "ws", "wss"] as const;

/** The transport of an endpoint. */
export type Scheme = (typeof SCHEMES)[number];

/** Where a program listens or connects. */
export interface Endpoint {
  readonly scheme: Scheme;
  /** A host name or an IP address, IPv6 without brackets. */
  readonly host: string;
  /** 0 to listen on a free port. */
  readonly port: number;
  /** The path after the port, with its leading `/`; empty for none. */
  readonly path: string;
  /** Whether sent messages are compressed. It has no effect over WebSocket. */
  readonly isCompressed: boolean;
}

const FORM = /^([a-z]+):\/\/(\[[^\]/]+\]|[^:/?#[\]]+)(?::(\d{1,5}))?(\/[^?#]*)?(\?compress=[01])?$/;

function refuse(text: string, why: string): RpcError {
  const examples = "tcp://localhost:12002, ssl://example.org:12003 or wss://example.org:12005/path";
  const message = `\`${text}\` is not an endpoint: ${why}; write it like ${examples}`;
  return new RpcError(ErrorCode.ConnectFailed, message);
}

function defaultPort(scheme: Scheme): number | undefined {
  return { ws: 80, wss: 443, tcp: undefined, ssl: undefined }[scheme];
}

/** Throws CONNECT_FAILED where the text is no endpoint. */
export function parseEndpoint(text: string): Endpoint {
  const parts = FORM.exec(text);
  const scheme = SCHEMES.find((known) => known === (parts?.[1] ?? text.split(":")[0]));
  if (scheme === undefined) {
    throw refuse(text, `the scheme must be one of ${SCHEMES.join(", ")}`);
  }
  if (parts === null) {
    throw refuse(text, "it must have a host and a port");
  }
  const [, , host = "", portText, path = "", compress] = parts;
  const port = portText === undefined ? defaultPort(scheme) : Number(portText);
  if (port === undefined || port > 65535) {
    throw refuse(text, "the port must be a number up to 65535");
  }
  const isWebSocket = scheme === "ws" || scheme === "wss";
  if (path.length > 1 && !isWebSocket) {
    throw refuse(text, "only ws:// and wss:// have a path");
  }
  return {
    scheme,
    host: host.replace(/^\[(.*)\]$/, "$1"),
    port,
    path,
    isCompressed: compress === "?compress=1" && !isWebSocket,
  };
}

export function formatEndpoint({ scheme, host, port, path, isCompressed }: Endpoint): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return `${scheme}://${name}:${port}${path}${isCompressed ? "?compress=1" : ""}`;
}

/** Host and port of a socket's peer. */
export function formatAddress(host: string | undefined, port: number | undefined): string {
  return host === undefined ? "unknown" : `${host.includes(":") ? `[${host}]` : host}:${port ?? 0}`;
}
