// The bench runs, and measures every peer.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

import { PEERS } from "../peers.js";

test("a short run prints a row for each peer", () => {
  const program = join(import.meta.dirname, "../run.js");
  const options = ["--rounds", "1", "--time", "50"];
  const printed = execFileSync(process.execPath, [program, ...options], { encoding: "utf8" });
  for (const name of Object.keys(PEERS)) {
    assert.match(printed, new RegExp(`^\\| ${name} \\| [\\d,]+ \\| \\d+\\.\\d\\d`, "m"));
  }
});
