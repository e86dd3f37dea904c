/** Generated code is accepted by tsc and ESLint, and is dropped where it is not used. */

import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";
import { ESLint } from "eslint";
import ts from "typescript";
import tseslint from "typescript-eslint";

import { ROOT } from "./support/programs.js";

const PACKAGE = join(ROOT, "runtimes/typescript");
const GOLDEN = join(ROOT, "tce-codegen/tests/golden");
/** In the package, whose name generated code imports. */
const FOLDER = join(PACKAGE, "build/golden");
const MAX_CLIENT_SIZE = 12 << 10;

/** The code that is recorded for every feature of the IDL. */
function goldenFiles(): string[] {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  const names = readdirSync(GOLDEN).filter((name) => name.endsWith(".ts"));
  assert.ok(names.length > 20);
  return names.map((name) => {
    cpSync(join(GOLDEN, name), join(FOLDER, name));
    return join(FOLDER, name);
  });
}

test("tsc and ESLint accept the code of every feature", async () => {
  const files = goldenFiles();
  const settings = join(FOLDER, "tsconfig.json");
  // Without the types of Node: the code runs in browsers.
  const compilerOptions = { types: [], noPropertyAccessFromIndexSignature: true };
  writeFileSync(
    settings,
    JSON.stringify({ extends: "../../tsconfig.json", compilerOptions, include: ["*.ts"], exclude: [] }),
  );
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(settings, (path) => ts.sys.readFile(path)).config,
    ts.sys,
    FOLDER,
  );
  const program = ts.createProgram(files, options);
  const diagnostics = ts.getPreEmitDiagnostics(program);
  const text = ts.formatDiagnostics(diagnostics, {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => FOLDER,
    getNewLine: () => "\n",
  });
  assert.equal(text, "");

  const eslint = new ESLint({
    cwd: FOLDER,
    overrideConfigFile: true,
    overrideConfig: [
      ...(tseslint.configs.strictTypeChecked as object[]),
      ...(tseslint.configs.stylisticTypeChecked as object[]),
      { languageOptions: { parserOptions: { project: settings } } },
    ],
  });
  const results = await eslint.lintFiles(files);
  const found = results.flatMap(({ filePath, messages }) =>
    messages.map(({ line, ruleId, message }) => `${filePath}:${String(line)} ${message} ${ruleId ?? ""}`),
  );
  assert.deepEqual(found, []);
});

/** A program for browsers as bundlers make it. */
async function bundled(program: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: program, resolveDir: join(PACKAGE, "test"), loader: "ts" },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}

test("the client for browsers has less than 12 KiB", async () => {
  const text = await bundled('export * from "tce";');
  const size = gzipSync(text, { level: 9 }).length;
  console.log(`browser client: ${String(text.length)} bytes, ${String(size)} gzipped`);
  assert.ok(size < MAX_CLIENT_SIZE, String(size));
});

test("a bundle has nothing of an interface that it does not use", async () => {
  const text = await bundled(
    'import { encode } from "tce"; import { encodePet } from "./gen/zoo.js";' +
      "console.log(encode, encodePet);",
  );
  assert.doesNotMatch(text, /Keeper|WebSocket/);
  const server = await bundled(
    'import { ServerPrx } from "./gen/test.js"; console.log(ServerPrx);',
  );
  assert.match(server, /test::Server::echo/);
  assert.doesNotMatch(server, /onMessage|interface ITerminal/);
});
