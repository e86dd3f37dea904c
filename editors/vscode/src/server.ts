// The language server: starts it, restarts it, and shows its state.

import { spawn, type ChildProcess } from "node:child_process";
import {
  LanguageStatusSeverity,
  languages,
  window,
  workspace,
  type Disposable,
  type LanguageStatusItem,
  type LogOutputChannel,
} from "vscode";
import { LanguageClient, State, type LanguageClientOptions } from "vscode-languageclient/node";

import { commandOf, probe } from "./command";

/** How long the server may take to answer `initialize`, in milliseconds. */
const START_TIMEOUT = 30_000;

const DOCUMENTS = ["file", "untitled"].map((scheme) => ({ scheme, language: "tce-idl" }));

/** The language server of a window. */
export class Server implements Disposable {
  readonly output: LogOutputChannel;
  private readonly trace: LogOutputChannel;
  private readonly status: LanguageStatusItem;
  private client: LanguageClient | undefined;
  private process: ChildProcess | undefined;
  /** Starts and stops, one after the other. */
  private pending: Promise<void> = Promise.resolve();

  /** `explain` is called with the reason if the command can't be run. */
  constructor(private readonly explain: (problem: string) => void) {
    this.output = window.createOutputChannel("TCE IDL", { log: true });
    this.trace = window.createOutputChannel("TCE IDL (messages)", { log: true });
    this.status = languages.createLanguageStatusItem("tce.server", DOCUMENTS);
    this.status.name = "TCE language server";
    this.status.command = { title: "Restart", command: "tce.restart" };
  }

  /** Starts the server, or restarts it. Never rejects: the status tells of failures. */
  restart(): Promise<void> {
    return this.enqueue(async () => {
      await this.halt();
      await this.start();
    });
  }

  /** Stops the server. Never rejects. */
  stop(): Promise<void> {
    return this.enqueue(() => this.halt());
  }

  dispose(): void {
    this.status.dispose();
    this.trace.dispose();
    this.output.dispose();
  }

  private enqueue(action: () => Promise<void>): Promise<void> {
    this.pending = this.pending.then(action).catch((error: unknown) => {
      this.show(LanguageStatusSeverity.Error, "tce: failed", String(error));
      this.output.error(String(error));
    });
    return this.pending;
  }

  private async start(): Promise<void> {
    const setting = workspace.getConfiguration("tce").get("path", "tce");
    const command = commandOf(setting, workspace.workspaceFolders?.[0]?.uri.fsPath);
    this.show(LanguageStatusSeverity.Information, "tce: starting", command);
    this.status.busy = true;
    const found = await probe(command);
    if ("problem" in found) {
      this.show(LanguageStatusSeverity.Error, "tce: not found", found.problem);
      this.output.error(found.problem);
      this.explain(found.problem);
      return;
    }
    this.output.info(`${command} lsp: ${found.version}`);
    const client = new LanguageClient("tce", "TCE IDL", () => this.spawn(command), this.options());
    client.onDidChangeState(({ newState }) => {
      if (client === this.client) this.changed(newState, found.version, command);
    });
    this.client = client;
    await within(START_TIMEOUT, client.start(), `\`${command} lsp\` does not answer.`);
  }

  private spawn(command: string): Promise<ChildProcess> {
    const child = spawn(command, ["lsp"], { windowsHide: true });
    child.on("error", (error) => this.output.error(error.message));
    this.process = child;
    return Promise.resolve(child);
  }

  private options(): LanguageClientOptions {
    return {
      documentSelector: DOCUMENTS,
      outputChannel: this.output,
      traceOutputChannel: this.trace,
      // The server asks for the files that it wants to be watched.
      synchronize: { configurationSection: "tce" },
      initializationOptions: () => {
        const indices = workspace.getConfiguration("tce").get("inlayHints.indices", true);
        return { inlayHints: { indices } };
      },
    };
  }

  /** Stops the client, and its process if that does not end by itself. */
  private async halt(): Promise<void> {
    const { client, process } = this;
    this.client = undefined;
    this.process = undefined;
    try {
      await client?.stop();
    } catch (error) {
      this.output.warn(`the server has not been stopped properly: ${String(error)}`);
    }
    process?.kill();
    this.show(LanguageStatusSeverity.Warning, "tce: stopped", "");
  }

  private changed(state: State, version: string, command: string): void {
    switch (state) {
      case State.Starting:
        this.show(LanguageStatusSeverity.Information, "tce: starting", command);
        this.status.busy = true;
        break;
      case State.Running:
        this.show(LanguageStatusSeverity.Information, version, command);
        break;
      default:
        this.show(LanguageStatusSeverity.Error, "tce: stopped", "See the output channel TCE IDL.");
    }
  }

  private show(severity: LanguageStatusSeverity, text: string, detail: string): void {
    this.status.severity = severity;
    this.status.text = text;
    this.status.detail = detail;
    this.status.busy = false;
  }
}

/** Rejects with `problem` if a promise takes longer than some milliseconds. */
async function within(limit: number, promise: Promise<void>, problem: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((_, reject) => {
    timer = setTimeout(() => reject(new Error(problem)), limit);
  });
  try {
    await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
