// Writes each block of TypeScript in the guide and the READMEs as a module, which the tests'
// `tsc` compiles. What the pages presuppose is declared around it.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../../..");
const out = join(import.meta.dirname, "../test/gen/guide");

const PRESUPPOSED = `import assert from "node:assert/strict";
import { Communicator as NodeCommunicator } from "tce/node";
import * as test from "../test.js";
declare const signal: AbortSignal, deviceId: string, cert: string, key: string;
declare function fetchToken(): Promise<string>;
declare function show(message: string): void;
declare function showState(state: string, reason: string): void;
declare function reload(): void;
declare class ServerDouble implements test.Server {
  datetime(): string;
  echo(text: string): string;
  timeout(): void;
  heartbeat(): void;
  bidirection(): void;
}
void [assert, NodeCommunicator, test, ServerDouble, signal, deviceId, cert, key, fetchToken, show, showState, reload];
`;

const pages = ["README.md", "runtimes/typescript/README.md"];
for (const page of readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })) {
  if (page.endsWith(".md")) pages.push(join("docs", page));
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
let count = 0;
for (const page of pages) {
  const text = readFileSync(join(root, page), "utf8");
  for (const { index, 1: code } of text.matchAll(/^```ts\n(.*?)^```/gms)) {
    const line = text.slice(0, index).split("\n").length;
    writeFileSync(join(out, `block_${++count}.ts`), `// ${page}:${line}\n${asModule(code)}`);
  }
}
if (count < 5) throw new Error(`only ${count} blocks of TypeScript`);

/**
 * Imports stay at the top; the rest becomes a function, whose names count as used.
 * @param {string} code
 */
function asModule(code) {
  const lines = code.replaceAll('"./gen/', '"../').split("\n");
  const imports = lines.filter((line) => line.startsWith("import "));
  const body = lines.filter((line) => !line.startsWith("import "));
  const imported = [...imports.join("\n").matchAll(/\{ (.*?) \}/g)].flatMap(([, names]) => names.split(", "));
  const declared = body.flatMap((line) => /^(?:const|let) (\w+)/.exec(line)?.[1] ?? []);
  const used = [...imported.filter((name) => !name.startsWith("type ")), ...declared];
  // What a block does not import or declare, the pages have introduced before.
  /** @param {string | undefined} name */
  const has = (name = "") => code.includes(`class ${name} `) || used.includes(name);
  const before = [
    ["Communicator", "const Communicator = NodeCommunicator;"],
    ["ServerPrx", "const ServerPrx = test.ServerPrx;"],
    ["serveServer", "const serveServer = test.serveServer;"],
    ["ServerImpl", "const ServerImpl = ServerDouble;"],
  ].flatMap(([name, declaration]) => (has(name) || !code.includes(name) ? [] : [declaration]));
  return [
    PRESUPPOSED,
    ...imports,
    "export async function block(): Promise<void> {",
    ...before,
    ...body,
    `void [${used.join(", ")}];`,
    "await Promise.resolve();",
    "}",
    "",
  ].join("\n");
}
