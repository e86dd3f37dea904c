/** Programs of this repository, which `cargo build --workspace` builds. */

import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

/** Long enough for a program to start on a busy machine. */
const PATIENCE_MS = 60_000;

export const ROOT = join(import.meta.dirname, "../../../../..");

/** Where cargo puts programs. */
export function target(): string {
  return join(process.env["CARGO_TARGET_DIR"] ?? join(ROOT, "target"), "debug");
}

const running = new Set<ChildProcessWithoutNullStreams>();
// A test that fails, or that is ended for its time, leaves no programs.
process.once("exit", () => {
  running.forEach((child) => child.kill("SIGKILL"));
});
process.once("SIGTERM", () => process.exit(1));

/** A program that runs, and the lines that it prints. */
export class Program {
  readonly #name: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly lines: string[] = [];
  readonly #waiting = new Set<() => void>();

  /** A program that cargo has built, or one with an absolute path. */
  constructor(name: string, args: readonly string[], cwd?: string) {
    const path = resolve(target(), name);
    if (!existsSync(path)) {
      throw new Error(`${path} is missing: cargo build --workspace`);
    }
    this.#name = name;
    this.#child = spawn(path, args, { cwd, stdio: "pipe" });
    running.add(this.#child);
    this.#child.once("exit", () => running.delete(this.#child));
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      createInterface(output).on("line", (line) => {
        this.lines.push(line);
        this.#waiting.forEach((wake) => {
          wake();
        });
      });
    }
  }

  /** Waits for a line that matches, and returns what the first group of the pattern matches. */
  async line(pattern: RegExp): Promise<string> {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      for (const line of this.lines) {
        const found = pattern.exec(line);
        if (found !== null) {
          return found[1] ?? found[0];
        }
      }
      await this.#more(end - Date.now(), pattern);
    }
  }

  #more(timeMs: number, pattern: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const seen = this.lines.join("\n");
        reject(new Error(`${this.#name} did not print ${String(pattern)}, but: ${seen}`));
      }, timeMs);
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      this.#waiting.add(wake);
    });
  }

  write(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  /** Stops it for a while, or lets it continue. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(signal);
  }

  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = new Promise((resolve) => this.#child.once("exit", resolve));
      this.#child.kill(signal);
      await exited;
    }
  }
}
