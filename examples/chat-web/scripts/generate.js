// Compiles the IDL of the example sendmessage: `tce` if it is installed, or the one that cargo
// has built in this repository.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const here = join(import.meta.dirname, "..");
const target = process.env.CARGO_TARGET_DIR ?? join(here, "../../target");
const built = join(target, "debug/tce");
const idl = join(here, "../sendmessage/idl/sendmessage.idl");
execFileSync(
  existsSync(built) ? built : "tce",
  ["compile", "--input", idl, "--out", join(here, "gen"), "--lang", "typescript"],
  { stdio: "inherit" },
);
