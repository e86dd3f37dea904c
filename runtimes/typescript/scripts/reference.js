// Prints the reference of the package from its sources: each name that `tce` and `tce/node`
// export, with its documentation. `--write` writes `docs/typescript/reference.md`.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

const source = join(import.meta.dirname, "../src");
/** @type {[string, string, string][]} */
const entries = [
  ["tce", join(source, "index.ts"), "For pages and for Node."],
  ["tce/node", join(source, "node/index.ts"), "What `tce` has, and for Node alone:"],
];

const program = ts.createProgram(
  entries.map(([, file]) => file),
  { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, strict: true, skipLibCheck: true },
);
const checker = program.getTypeChecker();

let page = `# Reference: the package \`tce\`

Written from the sources by \`runtimes/typescript/scripts/reference.js\`. [TypeScript](README.md) explains how the parts work together; generated code imports from \`tce/codegen\`, which is not for programs.
`;
/** @type {Set<ts.Symbol>} */
const seen = new Set();
for (const [name, file, text] of entries) {
  page += `\n## ${name}\n\n${text}\n`;
  const sourceFile = program.getSourceFile(file);
  const module = sourceFile && checker.getSymbolAtLocation(sourceFile);
  if (!module) throw new Error(`${file} exports nothing`);
  const exported = checker.getExportsOfModule(module).map(original);
  exported.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const symbol of exported) {
    if (!seen.has(symbol)) page += item(symbol);
    seen.add(symbol);
  }
}

if (process.argv.includes("--write")) {
  writeFileSync(join(import.meta.dirname, "../../../docs/typescript/reference.md"), page);
} else {
  process.stdout.write(page);
}

/** @param {ts.Symbol} symbol */
function original(symbol) {
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

/**
 * The first paragraph of a symbol's documentation, on one line.
 * @param {ts.Symbol} symbol
 */
function summary(symbol) {
  const text = ts.displayPartsToString(symbol.getDocumentationComment(checker));
  const linked = text.replace(/\{@link (\S+?)\}/g, "`$1`");
  return linked.split("\n\n")[0].split(/\s+/).join(" ").trim();
}

/** @param {ts.Symbol} symbol */
function declared(symbol) {
  const declaration = symbol.declarations?.[0];
  if (!declaration) throw new Error(`${symbol.name} is declared nowhere`);
  return declaration;
}

/** @param {ts.Symbol} symbol */
function item(symbol) {
  const declaration = declared(symbol);
  const text = `\n### ${symbol.name}\n\n${summary(symbol)}\n`;
  if (ts.isFunctionDeclaration(declaration)) return text + `\n\`${symbol.name}${type(symbol, declaration)}\`\n`;
  if (ts.isTypeAliasDeclaration(declaration)) return text + `\n\`${declaration.type.getText().replace(/\s+/g, " ")}\`\n`;
  const rows = members(symbol, declaration);
  return rows.length === 0 ? text : `${text}\n| | |\n| --- | --- |\n${rows.join("\n")}\n`;
}

/** @param {ts.Symbol} symbol @param {ts.Declaration} declaration */
function members(symbol, declaration) {
  const found = ts.isVariableDeclaration(declaration)
    ? checker.getPropertiesOfType(checker.getTypeOfSymbolAtLocation(symbol, declaration))
    : checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol));
  return found
    .filter((member) => isPublic(declared(member)) && isOurs(declared(member)))
    .map((member) => row(member, declared(member)));
}

/** @param {ts.Declaration} declaration */
function isPublic(declaration) {
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
  const isInternal = ts.getJSDocTags(declaration).some((tag) => tag.tagName.text === "internal");
  const isHidden = ts.getCombinedModifierFlags(declaration) & hidden;
  const name = ts.getNameOfDeclaration(declaration);
  return !isHidden && !isInternal && !(name && ts.isPrivateIdentifier(name));
}

/** @param {ts.Declaration} declaration */
function isOurs(declaration) {
  return declaration.getSourceFile().fileName.startsWith(source);
}

/** @param {ts.Symbol} member @param {ts.Declaration} declaration */
function row(member, declaration) {
  const cell = `${member.name}${type(member, declaration)}`.replaceAll("|", "\\|");
  return `| \`${cell}\` | ${summary(member).replaceAll("|", "\\|")} |`;
}

/**
 * `(parameters): Result` of a function, `: Type` of anything else.
 * @param {ts.Symbol} symbol
 * @param {ts.Declaration} declaration
 */
function type(symbol, declaration) {
  const of = checker.getTypeOfSymbolAtLocation(symbol, declaration);
  const [signature] = of.getCallSignatures();
  const isMethod = symbol.flags & (ts.SymbolFlags.Method | ts.SymbolFlags.Function);
  const text = isMethod && signature ? checker.signatureToString(signature) : `: ${checker.typeToString(of)}`;
  return text.replace(/\s+/g, " ");
}
