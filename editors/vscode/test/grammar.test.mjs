// The grammar, with the engine of Visual Studio Code: the scopes of each token.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(import.meta.url);
const oniguruma = require("vscode-oniguruma");
const textmate = require("vscode-textmate");

const GRAMMAR = new URL("../syntaxes/tce-idl.tmLanguage.json", import.meta.url);

async function grammar() {
  const wasm = await readFile(require.resolve("vscode-oniguruma/release/onig.wasm"));
  await oniguruma.loadWASM(wasm);
  const onigLib = {
    createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
    createOnigString: (text) => new oniguruma.OnigString(text),
  };
  const text = await readFile(GRAMMAR, "utf8");
  const loadGrammar = async () => textmate.parseRawGrammar(text, GRAMMAR.pathname);
  const registry = new textmate.Registry({ onigLib: Promise.resolve(onigLib), loadGrammar });
  return registry.loadGrammar("source.tce-idl");
}

/** Lines, and the innermost scope of each of their tokens, without `.tce-idl`. */
const LINES = [
  ["import base", "import keyword.control.import", "base entity.name.import"],
  ["module shop {", "module storage.type.module", "shop entity.name.namespace"],
  ["/// What is *ordered*.", "/// What is *ordered*. comment.line.documentation"],
  ["//// Not documentation: struct.", "//// Not documentation: struct. comment.line.double-slash"],
  ["# Old.", "# Old. comment.line.number-sign"],
  ["/** Doc", "/** comment.block.documentation", " Doc comment.block.documentation"],
  ["struct */", "struct  comment.block.documentation", "*/ comment.block.documentation"],
  ["struct Order {", "struct storage.type.struct", "Order entity.name.type.struct"],
  [
    "base::Id id;",
    "base entity.name.namespace",
    ":: punctuation.separator.namespace",
    "Id entity.name.type",
    "; punctuation.terminator",
  ],
  ["string structural; };", "string support.type.primitive", "; punctuation.terminator", "; punctuation.terminator"],
  [
    "sequence<int> Ids;",
    "sequence storage.type",
    "< punctuation.bracket.angle",
    "int support.type.primitive",
    "> punctuation.bracket.angle",
    "Ids entity.name.type",
    "; punctuation.terminator",
  ],
  [
    '[index=7, comment="a // ] b", skeleton_rust=true]',
    "[ punctuation.definition.annotation.begin",
    "index entity.other.attribute-name",
    "= keyword.operator.assignment",
    "7 constant.numeric",
    "comment entity.other.attribute-name",
    "= keyword.operator.assignment",
    '"a // ] b" string.quoted.double',
    "skeleton_rust entity.other.attribute-name",
    "= keyword.operator.assignment",
    "true constant.language.boolean",
    "] punctuation.definition.annotation.end",
  ],
  ["interface Shop extends Root {", "interface storage.type.interface", "Shop entity.name.type.interface", "extends keyword.other"],
  [
    "void place(Order order, int n); // é𝄞",
    "void support.type.primitive",
    "place entity.name.function",
    ", punctuation.separator",
    "int support.type.primitive",
    "; punctuation.terminator",
    "// é𝄞 comment.line.double-slash",
  ],
  ["enum State {", "enum storage.type", "State entity.name.type"],
  ["SOLD = 5,", "= keyword.operator.assignment", "5 constant.language", ", punctuation.separator"],
  ["exception NotFound {", "exception storage.type", "NotFound entity.name.type"],
  [
    'const string NAME = "a\\"; b";',
    "const storage.modifier",
    "string support.type.primitive",
    "NAME constant.other",
    '"a\\"; b" string.quoted.double',
    "; punctuation.terminator",
  ],
  ["[idempotent] void f() throws NotFound;", "[ punctuation.definition.annotation.begin", "idempotent entity.other.attribute-name", "] punctuation.definition.annotation.end", "void support.type.primitive", "f entity.name.function", "throws keyword.other", "; punctuation.terminator"],
  ["int enum;", "int support.type.primitive", "; punctuation.terminator"],
  // Annotations without an end extend to the end of the declaration.
  ["[index=", "[ punctuation.definition.annotation.begin", "index entity.other.attribute-name", "= keyword.operator.assignment"],
  ["void f();", "; punctuation.terminator"],
  ["int a;", "int support.type.primitive", "; punctuation.terminator"],
];

test("each token has its scope", async () => {
  const loaded = await grammar();
  let state = textmate.INITIAL;
  const found = LINES.map(([line]) => {
    const { tokens, ruleStack } = loaded.tokenizeLine(line, state);
    state = ruleStack;
    const named = tokens.map(({ startIndex, endIndex, scopes }) => {
      const scope = scopes.at(-1).replace(/\.tce-idl$/, "");
      return `${line.slice(startIndex, endIndex)} ${scope}`;
    });
    return [line, ...named.filter((it) => !it.endsWith(" source"))];
  });
  assert.deepEqual(found, LINES);
});
