/** The package as a registry would get it. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { ROOT } from "./support/programs.js";

const PACKAGE = join(ROOT, "runtimes/typescript");

test("the packed package installs, compiles and runs, without `ws` for sockets", () => {
  const folder = mkdtempSync(join(tmpdir(), "tce-"));
  const run = (command: string, ...args: string[]): string =>
    execFileSync(command, args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  try {
    const packed = run("npm", "pack", PACKAGE, "--ignore-scripts", "--json");
    const [{ filename, files } = { filename: "", files: [] }] = Object.values(
      JSON.parse(packed) as { filename: string; files: { path: string }[] }[],
    );
    const paths = files.map(({ path }) => path);
    assert.ok(paths.includes("dist/node/index.d.ts") && paths.includes("README.md"), paths.join());
    assert.ok(!paths.some((path) => path.startsWith("test")), paths.join());
    const installed = join(folder, "node_modules/tce");
    mkdirSync(installed, { recursive: true });
    run("tar", "xzf", filename, "-C", installed, "--strip-components=1");
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    writeFileSync(
      join(folder, "main.ts"),
      `import { Communicator, ping, RpcError } from "tce/node";
       import type { Connection } from "tce";
       const communicator = new Communicator();
       const adapter = await communicator.listen("tcp://127.0.0.1:0");
       const connection: Connection = await communicator.connect(adapter.endpoint);
       await ping(connection);
       const refused = await communicator.listen("ws://127.0.0.1:0").catch((e: unknown) => e);
       console.log(refused instanceof RpcError ? refused.text : refused);
       await communicator.shutdown();`,
    );
    const modules = join(PACKAGE, "node_modules");
    const types = ["--types", "node", "--typeRoots", join(modules, "@types")];
    run(join(modules, ".bin/tsc"), "--strict", "--module", "nodenext", ...types, "main.ts");
    assert.match(run("node", "main.js"), /need the package `ws` in Node: npm install ws/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the lock file names no host", () => {
  const lock = readFileSync(join(PACKAGE, "package-lock.json"), "utf8");
  assert.doesNotMatch(lock, /"resolved"/);
});
