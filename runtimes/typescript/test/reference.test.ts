/** `docs/typescript/reference.md` has what the package exports. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { ROOT } from "./support/programs.js";

test("the reference has every public name", () => {
  const script = join(ROOT, "runtimes/typescript/scripts/reference.js");
  const page = execFileSync(process.execPath, [script], { encoding: "utf8" });
  const written = readFileSync(join(ROOT, "docs/typescript/reference.md"), "utf8");
  assert.equal(written, page, "node scripts/reference.js --write");
});
