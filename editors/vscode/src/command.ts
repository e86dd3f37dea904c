// The command `tce`: where it is, and whether it can run.

import { execFile } from "node:child_process";
import { homedir } from "node:os";
import * as path from "node:path";

/** How long `tce --version` may take, in milliseconds. */
const VERSION_TIMEOUT = 10_000;

/** What `tce --version` says, or why it says nothing. */
export type Probe = { version: string } | { problem: string };

/**
 * The command of the setting `tce.path`: `~` is the home folder, and a relative path with a
 * separator is relative to the folder of the workspace. A bare name is looked up on the PATH.
 */
export function commandOf(setting: string, folder: string | undefined): string {
  const name = setting.trim() || "tce";
  if (name === "~" || /^~[/\\]/.test(name)) return path.join(homedir(), name.slice(1));
  if (!/[/\\]/.test(name) || path.isAbsolute(name)) return name;
  return folder === undefined ? path.resolve(name) : path.resolve(folder, name);
}

/** Runs `tce --version`. Never rejects. */
export function probe(command: string): Promise<Probe> {
  return new Promise((resolve) => {
    const options = { timeout: VERSION_TIMEOUT, windowsHide: true };
    execFile(command, ["--version"], options, (error, output) => {
      const version = output.trim();
      if (error !== null) resolve({ problem: problemOf(command, error) });
      else if (/^tce \d/.test(version)) resolve({ version });
      else resolve({ problem: `\`${command}\` is another program than the compiler of TCE.` });
    });
  });
}

function problemOf(command: string, error: Error & { code?: unknown; killed?: boolean }): string {
  if (error.code === "ENOENT") return `The command \`${command}\` can't be found.`;
  if (error.code === "EACCES") return `\`${command}\` can't be run: it is not executable.`;
  if (error.killed === true) return `\`${command} --version\` does not answer.`;
  return `\`${command} --version\` fails: ${error.message.trim()}`;
}
