// The bundle of the extension, in an editor that is a stub, with the real language client and
// the real `tce`.

import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, test } from "node:test";
import { fileURLToPath } from "node:url";

import { load, makeEditor } from "./vscode.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const EXTENSION = fileURLToPath(new URL("..", import.meta.url));
const BUNDLE = path.join(EXTENSION, "dist/extension.js");
const TCE = path.join(process.env.CARGO_TARGET_DIR ?? path.join(ROOT, "target"), "debug/tce");
const NOT_FOUND = ["Choose Path…", "How to Install"];

const ends = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** An activated extension in an empty folder. */
async function activated(prepare = () => {}) {
  const folder = await mkdtemp(path.join(tmpdir(), "tce vscode é "));
  ends.push(() => rm(folder, { recursive: true }));
  const editor = makeEditor(folder);
  editor.settings.path = TCE;
  await prepare(editor, folder);
  const extension = load(editor, BUNDLE);
  const context = { subscriptions: [], extensionUri: editor.module.Uri.file(EXTENSION) };
  await extension.activate(context);
  ends.push(() => extension.deactivate());
  return { editor, folder, extension, context };
}

/** A program in a folder. */
async function program(folder, name, script) {
  const file = path.join(folder, name);
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
  return file;
}

/** Waits until a condition holds. */
async function until(what, holds) {
  for (const start = Date.now(); !holds(); await new Promise((resolve) => setTimeout(resolve, 20))) {
    assert.ok(Date.now() - start < 20_000, `${what} takes too long`);
  }
}

test("the server starts, and its diagnostics are shown", async () => {
  const { editor } = await activated();
  assert.match(editor.status.text, /^tce \d/, editor.output);
  assert.equal(editor.status.busy, false);
  const document = editor.open("a b é.idl", "module m { struct S { strng a; }; }\n");
  const uri = document.uri.toString();
  await until("a diagnostic", () => editor.diagnostics.get(uri)?.length > 0);
  const [diagnostic] = editor.diagnostics.get(uri);
  assert.match(diagnostic.message, /did you mean `string`/);
  assert.deepEqual(editor.errors, []);
  for (const kind of ["FoldingRange", "InlayHints", "WorkspaceSymbol", "Rename", "DocumentFormattingEdit"]) {
    assert.ok(editor.providers.has(kind), `${kind}: ${[...editor.providers.keys()]}`);
  }
});

test("the server restarts by a command, and when its path changes", async () => {
  const { editor } = await activated();
  const starts = () => editor.output.split(" lsp: tce ").length - 1;
  assert.equal(starts(), 1);
  // Several at once run one after the other.
  await Promise.all([1, 2].map(() => editor.commands.get("tce.restart")()));
  assert.equal(starts(), 3);
  assert.match(editor.status.text, /^tce \d/);
  editor.set("inlayHints.indices", false);
  editor.set("path", `${TCE} `);
  await until("the restart", () => starts() === 4);
  await editor.commands.get("tce.restart")();
  assert.match(editor.status.text, /^tce \d/);
  editor.open("a.idl", "module m {");
  await until("a diagnostic", () => editor.diagnostics.size > 0);
});

test("hints follow their setting", async () => {
  const { editor } = await activated();
  const document = editor.open("a.idl", "module m { interface I { void f(); }; }\n");
  const { Range, CancellationTokenSource } = editor.module;
  const count = async () => {
    const { token } = new CancellationTokenSource();
    const provider = editor.providers.get("InlayHints");
    return (await provider.provideInlayHints(document, new Range(0, 0, 1, 0), token))?.length ?? 0;
  };
  assert.equal(await count(), 2);
  for (const [value, expected] of [
    [false, 0],
    [true, 2],
  ]) {
    editor.set("inlayHints.indices", value);
    let found;
    await until("the setting", () => (void count().then((it) => (found = it)), found === expected));
  }
});

test("a missing command is explained, and can be chosen", async () => {
  const { editor } = await activated((it) => {
    it.settings.path = "no-such-tce";
    it.answer = "Choose Path…";
    it.chosen = TCE;
  });
  assert.equal(editor.errors.length, 1);
  const [message, buttons] = editor.errors[0];
  assert.match(message, /`no-such-tce` can't be found/);
  assert.deepEqual(buttons, NOT_FOUND);
  await until("the chosen command", () => /^tce \d/.test(editor.status.text));
  assert.equal(editor.settings.path, TCE);
});

test("the other button opens how to install it", async () => {
  const { editor } = await activated((it) => {
    it.settings.path = "./missing/tce";
    it.answer = "How to Install";
  });
  await until("the document", () => editor.executed.length > 0);
  const [command, uri] = editor.executed[0];
  assert.equal(command, "markdown.showPreview");
  assert.match(await readFile(uri.fsPath, "utf8"), /cargo install/);
  assert.equal(editor.status.text, "tce: not found");
});

test("a command that is something else is not started", async () => {
  for (const [script, why] of [
    ["echo other 1.0", /another program/],
    ["echo no >&2; exit 3", /fails/],
  ]) {
    const { editor } = await activated(async (it, folder) => {
      it.settings.path = await program(folder, "other", script);
    });
    assert.match(editor.errors[0][0], why);
  }
  const { editor } = await activated(async (it, folder) => {
    await writeFile(path.join(folder, "plain"), "");
    it.settings.path = "./plain";
  });
  assert.match(editor.errors[0][0], /not executable/);
});

test("a server that crashes again and again is given up, and can be restarted", async () => {
  const { editor, folder } = await activated();
  const crashing = await program(folder, "crashing", `[ "$1" = lsp ] && exit 1; echo tce 9`);
  editor.set("path", crashing);
  await until("the crash", () => editor.status.severity === 2);
  editor.set("path", TCE);
  await until("the restart", () => /^tce \d/.test(editor.status.text) && editor.status.text !== "tce 9");
});

test("nothing is left running", async () => {
  const { editor, extension, context } = await activated();
  await extension.deactivate();
  for (const it of context.subscriptions) it.dispose();
  assert.equal(editor.status.text, "tce: stopped");
  assert.equal(editor.commands.size, 0);
});
