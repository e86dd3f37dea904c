// Compiles `idl/echo.idl` to `gen/bench.js`, by the `tce` of this repository.

import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { buildSync } from "esbuild";

const here = import.meta.dirname;
const target = process.env.CARGO_TARGET_DIR ?? join(here, "../../target");
const out = join(here, "gen");
const idl = join(here, "../idl/echo.idl");
const options = ["compile", "--input", idl, "--out", out, "--lang", "typescript"];
execFileSync(join(target, "debug/tce"), options, { stdio: "inherit" });
buildSync({ entryPoints: [join(out, "bench.ts")], outdir: out, format: "esm" });
