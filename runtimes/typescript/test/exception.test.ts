/** Exceptions of an IDL: how an error RETURN carries them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { RpcError, type RpcErrorDetails } from "#dist/errors.js";
import { throws, UserException } from "#dist/exception.js";
import { encodePairs, Extra } from "#dist/extra.js";
import { DEFAULT_LIMITS } from "#dist/limits.js";
import * as read from "#dist/reader.js";
import * as write from "#dist/writer.js";

class NotFound extends UserException {
  readonly code_: number;
  readonly key: string;

  constructor(code_: number, key: string, details?: RpcErrorDetails) {
    super("shop.NotFound", key, details);
    this.code_ = code_;
    this.key = key;
  }

  override encodeMembers(out: write.Writer): void {
    write.encodeInt(out, this.code_);
    write.encodeString(out, this.key);
  }
}

const decode = throws([
  "shop.NotFound",
  (input, details) => new NotFound(read.decodeInt(input), read.decodeString(input), details),
]);

function extra(pairs: ReadonlyMap<string, string>): Extra {
  const out = new write.Writer();
  encodePairs(out, pairs);
  return Extra.decode(new read.Reader(out.take()), DEFAULT_LIMITS);
}

test("an exception comes back from the extra", () => {
  const pairs = new NotFound(-7, "säid").fault()?.pairs;
  assert.ok(pairs);
  const error = decode(8, extra(pairs), { side: "remote" });
  assert.ok(error instanceof NotFound && error instanceof RpcError);
  assert.deepEqual([error.code_, error.key, error.text], [-7, "säid", "shop.NotFound: säid"]);
  assert.deepEqual([error.code, error.name, error.side], [8, "shop.NotFound", "remote"]);
  assert.equal(error.fault(), undefined);
  assert.equal(decode(4711, extra(pairs), {}), undefined);
  assert.equal(throws()(8, extra(pairs), {}), undefined);
});

test("data that is no exception is none", () => {
  for (const [name, data] of [
    ["shop.NotFound", "?"],
    ["shop.NotFound", "AAAAA"],
    ["shop.NotFound", "AAAAAA=="],
    ["shop.NotFound", "/////////////w=="],
    ["shop.NotFound", ""],
    ["shop.Other", "AAAAAQAAAAA="],
    ["toString", "AAAAAQAAAAA="],
  ] as const) {
    const pairs = new Map([
      ["__exception__", name],
      ["__exception_data__", data],
    ]);
    assert.equal(decode(8, extra(pairs), {}), undefined, `${name} ${data}`);
  }
  assert.equal(decode(8, Extra.EMPTY, {}), undefined);
});
