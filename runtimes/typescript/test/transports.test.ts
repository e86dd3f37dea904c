/** Every kind of call and every type over every transport, in both directions. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Communicator, ErrorCode, describe, ping, type Connection } from "tce/node";

import { KeeperPrx, serveKeeper } from "./gen/zoo.js";
import { failed } from "./support/calls.js";
import { withCertificate, type Certificate } from "./support/certificate.js";
import { eventually } from "./support/eventually.js";
import { CALL_BACK, FAMILY } from "./support/family.js";
import { Echo } from "./support/keeper.js";

const SCHEMES = ["tcp", "ssl", "ws", "wss"];

/** A server and a client of it, each with a `Keeper`. */
interface Pair {
  readonly connection: Connection;
  readonly server: Echo;
  readonly client: Echo;
  readonly endpoint: string;
}

async function withPair(
  scheme: string,
  { cert, key }: Certificate,
  use: (pair: Pair) => Promise<void>,
): Promise<void> {
  const communicator = new Communicator({ tls: { ca: cert, cert, key } });
  const adapter = await communicator.listen(`${scheme}://localhost:0`);
  const [server, client] = [new Echo(), new Echo()];
  adapter.serve(serveKeeper(server));
  const connection = await communicator.connect(adapter.endpoint);
  connection.serve(serveKeeper(client));
  try {
    await use({ connection, server, client, endpoint: adapter.endpoint });
  } finally {
    assert.equal(await communicator.shutdown(), true);
  }
}

async function everyType({ connection, server }: Pair): Promise<void> {
  const keeper = new KeeperPrx(connection);
  for (const extra of [{}, { [CALL_BACK]: "yes" }]) {
    assert.deepEqual(await keeper.roundtrip(FAMILY, { extra }), FAMILY);
    const table = [[1, -1], [], [2147483647]];
    assert.deepEqual(await keeper.table(table, { extra }), table);
    const blob = new Uint8Array(1 << 20).map((_, i) => i);
    assert.deepEqual(await keeper.blob(blob, { extra }), blob);
  }
  const counts = new Map([["", -1]]);
  assert.deepEqual(await keeper.counts(counts), counts);
  const names = new Map([[-1, "x".repeat(1 << 20)]]);
  assert.deepEqual(await keeper.names(names), names);
  assert.equal(await keeper.big(-(2n ** 63n)), -(2n ** 63n));
  assert.equal(await keeper.big(5), 5n);
  assert.ok(Object.is(await keeper.real(-0), -0));
  assert.ok(Number.isNaN(await keeper.real(NaN)));
  assert.equal(await keeper.truth(true), true);
  await keeper.many(1, true, -2, -3, -4, 0.5, 0.1, "t");
  assert.deepEqual(server.many_, [[1, true, -2, -3, -4n, 0.5, 0.1, "t"]]);
}

async function everyKindOfCall({ connection, server, endpoint }: Pair): Promise<void> {
  await ping(connection);
  const keeper = new KeeperPrx(connection, { extra: { name: "default", other: "x" } });
  let returned: string[][] = [];
  await keeper.roundtrip(FAMILY, {
    extra: [["name", "scott.bo"]],
    onReturn: (extra) => (returned = [...extra]),
  });
  assert.deepEqual(returned, [["seen", "scott.bo"]]);
  for (let i = 0; i < 100; i++) {
    keeper.manyOneway(i, true, 0, 0, 0n, 0, 0, "oneway");
  }
  await eventually("100 oneway calls", () => server.many_.length === 100);
  assert.deepEqual(
    server.many_.map(([b]) => b),
    Array.from({ length: 100 }, (_, i) => i),
  );
  const many = Array.from({ length: 1000 }, (_, i) => keeper.big(i));
  assert.deepEqual((await Promise.all(many)).map(Number), [...many.keys()]);
  const [text] = await describe(connection);
  assert.match(text ?? "", /interface Keeper/);
  const error = await failed(
    connection.call({ ifidx: 77, opidx: 0, name: "x::Y::z" }, () => undefined, () => undefined),
  );
  assert.equal(error.code, ErrorCode.InterfaceNotFound);
  assert.equal(error.side, "remote");
  assert.equal(
    error.message,
    `x::Y::z: INTERFACE_NOTFOUND: no servant for interface 77 here (${endpoint})`,
  );
  const undecodable = await failed(
    connection.call({ ifidx: 0, opidx: 0, name: "short" }, () => undefined, () => undefined),
  );
  assert.equal(undecodable.code, ErrorCode.UnserializeFailed);
}

for (const scheme of SCHEMES) {
  test(`every type over ${scheme}`, () =>
    withCertificate((certificate) => withPair(scheme, certificate, everyType)));
  test(`every kind of call over ${scheme}`, () =>
    withCertificate((certificate) => withPair(scheme, certificate, everyKindOfCall)));
}

test("a certificate that nothing vouches for is refused", () =>
  withCertificate(async ({ cert, key }) => {
    const server = new Communicator({ tls: { cert, key } });
    for (const scheme of ["ssl", "wss"]) {
      const adapter = await server.listen(`${scheme}://localhost:0`);
      const error = await failed(new Communicator().connect(adapter.endpoint));
      assert.equal(error.code, ErrorCode.ConnectFailed);
      assert.match(error.text, /self-signed certificate/);
    }
    await server.shutdown();
  }));

test("messages are compressed where the endpoint says so", async () => {
  const communicator = new Communicator();
  const adapter = await communicator.listen("tcp://127.0.0.1:0?compress=1");
  adapter.serve(serveKeeper(new Echo()));
  const connection = await communicator.connect(adapter.endpoint);
  const blob = new Uint8Array(1 << 20);
  assert.deepEqual(await new KeeperPrx(connection).blob(blob), blob);
  await communicator.shutdown();
});
