/** A certificate for `localhost` that signs itself. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Paths and contents of a certificate and its key in PEM form. */
export interface Certificate {
  readonly certPath: string;
  readonly keyPath: string;
  readonly cert: string;
  readonly key: string;
}

/** Makes a certificate and calls `use` with it, after which its files are removed. */
export async function withCertificate(
  use: (certificate: Certificate) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "tce-"));
  const [certPath, keyPath] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  try {
    execFileSync("openssl", [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
      ...["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
      // As an authority it would not be accepted for a server.
      ...["-addext", "basicConstraints=critical,CA:FALSE"],
      ...["-keyout", keyPath, "-out", certPath],
    ], { stdio: "pipe" });
    const [cert, key] = [readFileSync(certPath, "utf8"), readFileSync(keyPath, "utf8")];
    await use({ certPath, keyPath, cert, key });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
