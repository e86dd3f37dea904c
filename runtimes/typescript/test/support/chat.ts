/** The servants and gateways of `examples/sendmessage`, in one process. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Program, ROOT } from "./programs.js";

/** Gateways for users, by tcp and by WebSocket. */
export class Chat {
  readonly #program: Program;
  readonly #folder: string;
  readonly tcp: string;
  readonly ws: string;

  private constructor(program: Program, folder: string, tcp: string, ws: string) {
    this.#program = program;
    this.#folder = folder;
    this.tcp = tcp;
    this.ws = ws;
  }

  /** On free ports, or on these again. */
  static async start(
    ports: { tcp: string; ws: string } = { tcp: "0", ws: "0" },
    properties: Readonly<Record<string, string>> = {},
  ): Promise<Chat> {
    const auth = '<property name="auth" value="token"/>';
    const isJwt = properties["auth_jwt_secret"] !== undefined;
    const further = Object.entries(properties).map(
      ([name, value]) => `<property name="${name}" value="${value}"/>`,
    );
    const folder = mkdtempSync(join(tmpdir(), "tce-"));
    for (const name of ["services.xml", "config.yml"]) {
      const text = readFileSync(join(ROOT, "examples/sendmessage", name), "utf8")
        .replaceAll("localhost", "127.0.0.1")
        .replaceAll(auth, (isJwt ? auth.replace("token", "jwt") : auth) + further.join(""))
        .replace("12001", ports.ws)
        .replace("12002", ports.tcp);
      writeFileSync(join(folder, name), text);
    }
    const program = new Program("sendmessage-in-memory", [], folder);
    const tcp = await program.line(/^listening on (tcp:.*)/);
    const ws = await program.line(/^listening on (ws:.*)/);
    return new Chat(program, folder, tcp, ws);
  }

  /** Ends it without a word, and starts it again on the same ports. */
  async restart(): Promise<Chat> {
    await this.stop();
    const [tcp, ws] = [this.tcp, this.ws].map((endpoint) => endpoint.split(":").at(-1) ?? "");
    return Chat.start({ tcp: tcp ?? "", ws: ws ?? "" });
  }

  /** Makes it silent, or lets it continue. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#program.signal(signal);
  }

  async stop(): Promise<void> {
    await this.#program.stop();
    rmSync(this.#folder, { recursive: true });
  }
}
