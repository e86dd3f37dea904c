/** TLS as connections and adapters share it. */

import type { SecureContextOptions } from "node:tls";

/** Certificates and keys in PEM form, and what is checked of the peer's. */
export interface Tls extends SecureContextOptions {
  /** Whether a peer without a valid certificate is refused. Default: true. */
  readonly rejectUnauthorized?: boolean;
  /** Whether an adapter asks its clients for certificates. Default: false. */
  readonly requestCert?: boolean;
  /** The name in a server's certificate, where the endpoint's host differs. */
  readonly servername?: string;
}
