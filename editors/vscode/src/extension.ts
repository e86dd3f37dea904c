// The extension: the language server, its commands, and advice if `tce` is not found.

import {
  ConfigurationTarget,
  Uri,
  commands,
  window,
  workspace,
  type ExtensionContext,
} from "vscode";

import { Server } from "./server";

const CHOOSE = "Choose Path…";
const INSTALL = "How to Install";

let server: Server | undefined;

export async function activate(context: ExtensionContext): Promise<void> {
  const started = new Server((problem) => void advise(problem, context.extensionUri));
  server = started;
  context.subscriptions.push(
    started,
    commands.registerCommand("tce.restart", () => started.restart()),
    commands.registerCommand("tce.showOutput", () => started.output.show()),
    workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("tce.path")) void started.restart();
    }),
    // A path can be allowed by trusting the workspace.
    workspace.onDidGrantWorkspaceTrust(() => void started.restart()),
  );
  await started.restart();
}

export function deactivate(): Promise<void> | undefined {
  return server?.stop();
}

/** Shows why `tce` can't be run, and what to do about it. */
async function advise(problem: string, extension: Uri): Promise<void> {
  const message = `${problem} Only highlighting works without it.`;
  const choice = await window.showErrorMessage(message, CHOOSE, INSTALL);
  if (choice === INSTALL) {
    await commands.executeCommand("markdown.showPreview", Uri.joinPath(extension, "install.md"));
  } else if (choice === CHOOSE) {
    const chosen = await window.showOpenDialog({ openLabel: "Use as tce", canSelectMany: false });
    const path = chosen?.[0]?.fsPath;
    if (path === undefined) return;
    // The server restarts when the setting changes.
    await workspace.getConfiguration("tce").update("path", path, ConfigurationTarget.Global);
  }
}
