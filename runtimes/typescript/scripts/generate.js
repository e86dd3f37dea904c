// Compiles the IDL that the tests use, by the `tce` of this repository.
import { execFileSync } from "node:child_process";
import { join } from "node:path";

const root = join(import.meta.dirname, "../../..");
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const files = ["tests/idl/zoo.idl", "tests/idl/test.idl", "examples/sendmessage/idl/sendmessage.idl"];
const out = join(import.meta.dirname, "../test/gen");
for (const file of files) {
  const input = join(root, file);
  const options = ["compile", "--input", input, "--out", out, "--lang", "typescript"];
  execFileSync(join(target, "debug/tce"), options, { stdio: "inherit" });
}
