/** The commands of `docs/typescript/README.md` print what it says. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { ROOT, target } from "./support/programs.js";

const TUTORIAL = join(ROOT, "docs/typescript/README.md");
const PORT = "12002";

/** The lines of the transcripts. */
function transcripts(): string[] {
  const text = readFileSync(TUTORIAL, "utf8");
  return [...text.matchAll(/^```console\n(.*?)^```/gms)].flatMap(([, lines = ""]) =>
    lines.trimEnd().split("\n"),
  );
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * A program for bash that prints each command and what it prints. The packages of this repository
 * stand in for those that npm would download, and another port for that of the tutorial.
 */
function program(commands: readonly string[], port: string): string {
  const modules = join(ROOT, "runtimes/typescript/node_modules");
  const lines = commands.map((command) => {
    const isServer = command.endsWith(" &");
    const run = command
      .replaceAll(PORT, port)
      .replace(/server &$/, `server -- tcp://localhost:${port} > server.log 2>&1 & server=$!`)
      .replace(/ client$/, ` client -- tcp://localhost:${port}`);
    const wait = "until grep --silent listening server.log; do sleep 0.1; done; cat server.log";
    return `echo '$ ${command.replaceAll("'", "'\\''")}'\n${run}${isServer ? `\n${wait}` : ""}`;
  });
  return `
    # The tests of the project are not part of these.
    unset NODE_TEST_CONTEXT
    export PATH=${target()}:$PATH
    trap 'kill $server' EXIT
    npm() {
      if [ "$1" = install ]; then
        mkdir -p node_modules
        ln -s ${ROOT}/runtimes/typescript node_modules/tce
        ln -s ${modules}/typescript ${modules}/@types node_modules/
        PATH=${modules}/.bin:$PATH
      else
        command npm "$@"
      fi
    }
    ${lines.join("\n")}
    command npm test --silent > tests.log 2>&1 || cat tests.log
  `;
}

function run(script: string, cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("bash", ["-c", `exec 2>&1\n${script}`], { cwd });
    let printed = "";
    child.stdout.on("data", (bytes: Buffer) => (printed += bytes.toString()));
    child.on("error", reject);
    child.on("close", () => {
      resolve(printed);
    });
  });
}

test("the tutorial's commands print what it says, and the new project passes its tests", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tce-"));
  const port = String(await freePort());
  const lines = transcripts();
  const commands = lines.filter((line) => line.startsWith("$ ")).map((line) => line.slice(2));
  assert.ok(commands.length > 5);
  const printed = (await run(program(commands, port), folder)).trimEnd().replaceAll(port, PORT);
  assert.deepEqual(printed.split("\n"), lines);
  rmSync(folder, { recursive: true });
});
