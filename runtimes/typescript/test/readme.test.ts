/** The program on the first screen of the repository's README runs as it is written. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { transform } from "esbuild";

import { Program, ROOT } from "./support/programs.js";

test("the first program of the README calls a server in Rust", async () => {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const code = /^```ts\n(.*?)^```/ms.exec(readme)?.[1] ?? "";
  const server = new Program("simple-server", ["--endpoint", "tcp://127.0.0.1:0"]);
  const endpoint = await server.line(/^listening on (.*)/);
  assert.ok(code.includes('"tcp://localhost:12002"'));
  const program = code.replace("tcp://localhost:12002", endpoint);
  // Beside the tests, where `tce/node` and the generated code are found.
  const file = join(import.meta.dirname, "readme.js");
  writeFileSync(file, (await transform(program, { loader: "ts", format: "esm" })).code);
  const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 60_000 });
  assert.equal(stdout, "Yah! hello\n");
  rmSync(file);
  await server.stop();
});
