/** A client's session: login, refresh, kept pushes, close reasons, a peer that drains. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import {
  CloseCode,
  Communicator,
  encode,
  ErrorCode,
  type Connection,
} from "tce/node";

import { encodeInt, encodeString } from "#dist/writer.js";
import { serveITerminal, ServerPrx } from "./gen/test.js";
import { failed, quiet, withRawServer } from "./support/calls.js";
import { eventually } from "./support/eventually.js";
import { message, RawServer, type RawPeer, type Received } from "./support/peer.js";

const BUILTIN = 65535;
const LOGIN = 2;
const REFRESH = 3;
const GO_AWAY = 4;
const ONEWAY = 0x21;
const EPOCH = "00000000000000a1";

const pause = (timeMs: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, timeMs));

/** Each text once, then the last one. */
function tokens(...texts: string[]): () => string {
  return () => (texts.length > 1 ? texts.shift() : texts[0]) ?? "";
}

function operationOf({ header: { ifidx, opidx, calltype } }: Received): number[] {
  return [ifidx, opidx, calltype];
}

function answer(
  peer: RawPeer,
  { header, params }: Received,
  extra: Record<string, string> = {},
  errcode = 0,
): void {
  const { sequence, ifidx, opidx } = header;
  const returned = { sequence, ifidx, opidx, errcode, calltype: 0x02 };
  peer.socket.write(message(returned, extra, errcode === 0 ? params : undefined));
}

/** Answers the login, which is the first message. */
async function login(peer: RawPeer, extra: Record<string, string> = {}): Promise<Received> {
  const received = await peer.message();
  assert.deepEqual(operationOf(received), [BUILTIN, LOGIN, 0x01]);
  assert.equal(received.params.length, 0);
  answer(peer, received, extra);
  return received;
}

/** Calls `ITerminal::onMessage`. */
function push(peer: RawPeer, text: string, offset?: number, calltype = ONEWAY): void {
  const extra = offset === undefined ? {} : { __epoch__: EPOCH, __offset__: String(offset) };
  peer.socket.write(message({ ifidx: 3, calltype }, extra, encode(text, encodeString)));
}

function goAway(peer: RawPeer, delayMs: number): void {
  const header = { ifidx: BUILTIN, opidx: GO_AWAY, calltype: ONEWAY };
  peer.socket.write(message(header, {}, encode(delayMs, encodeInt)));
}

/** Ends a connection as a gateway does. */
function close(peer: RawPeer, errcode: number, text: string, code?: number): void {
  const header = { sequence: 0xffffffff, calltype: 2, ifidx: BUILTIN, errcode };
  const reason = code === undefined ? {} : { __close__: String(code) };
  peer.socket.end(message(header, { __error__: text, ...reason }));
}

function collect(connection: Connection): string[] {
  const got: string[] = [];
  connection.serve(serveITerminal({ onMessage: (text) => void got.push(text) }));
  return got;
}

test("the login is the first message, and calls do not wait for it", () =>
  withRawServer({ token: "t", deviceId: "d1" }, async (connection, server) => {
    const prx = new ServerPrx(connection);
    const first = prx.echo("a");
    const peer = await server.peer();
    const credentials = { __token__: "t", __device_id__: "d1" };
    const received = await peer.message(0);
    assert.deepEqual(operationOf(received), [BUILTIN, LOGIN, 0x01]);
    assert.deepEqual(received.extra, credentials);
    const call = await peer.message(1);
    // A peer that does not know the login takes the token from here.
    assert.deepEqual(operationOf(call), [2, 0, 0x01]);
    assert.deepEqual(call.extra, credentials);
    answer(peer, received, { __user_id__: "scott" });
    answer(peer, call);
    assert.equal(await first, "a");
    const second = prx.echo("b");
    const next = await peer.message(2);
    assert.deepEqual(next.extra, {});
    answer(peer, next);
    assert.equal(await second, "b");
  }));

test("a client that only listens logs in by itself, and again after a loss", () =>
  withRawServer({ token: tokens("one", "two") }, async (_, server) => {
    const peer = await server.peer();
    assert.equal((await login(peer)).extra["__token__"], "one");
    peer.socket.destroy();
    const began = Date.now();
    const again = await server.peer(1);
    assert.equal((await login(again)).extra["__token__"], "two");
    assert.ok(Date.now() - began < 900, "only the first login waits for the program");
    await pause(100);
    assert.equal(again.received.length, 1);
  }));

for (const isAnswered of [true, false]) {
  test(`without a login, ${isAnswered ? "refused" : "ignored"}, calls carry the token`, () =>
    withRawServer({ token: "t", connectTimeMs: 200 }, async (connection, server) => {
      const peer = await server.peer();
      const received = await peer.message();
      if (isAnswered) {
        answer(peer, received, {}, ErrorCode.InterfaceNotFound);
      }
      await pause(300);
      const prx = new ServerPrx(connection);
      const first = prx.echo("a");
      const call = await peer.message(1);
      assert.deepEqual(call.extra, { __token__: "t" });
      answer(peer, call);
      assert.equal(await first, "a");
      void prx.echo("b").catch(() => undefined);
      assert.deepEqual((await peer.message(2)).extra, {});
    }));
}

test("a client without token and resume sends no login", () =>
  withRawServer({}, async (connection, server) => {
    void new ServerPrx(connection).echo("a").catch(() => undefined);
    assert.deepEqual(operationOf(await (await server.peer()).message()), [2, 0, 0x01]);
  }));

test("a login is refreshed before it expires, and the refresh too", () =>
  withRawServer({ token: tokens("one", "two", "three", "four") }, async (_, server) => {
    const peer = await server.peer();
    await login(peer, { __expires_in__: "2" });
    for (const [at, token] of [
      [1, "two"],
      [2, "three"],
    ] as const) {
      const began = Date.now();
      const refresh = await peer.message(at);
      assert.deepEqual(operationOf(refresh), [BUILTIN, REFRESH, 0x01]);
      assert.deepEqual(refresh.extra, { __token__: token });
      const taken = Date.now() - began;
      assert.ok(taken > 1300 && taken < 2000, String(taken));
      answer(peer, refresh, at === 1 ? { __expires_in__: "2" } : {});
    }
    await pause(1200);
    assert.equal(peer.received.length, 3, "the third token does not expire");
  }));

test("a refresh that fails is tried again, and costs no call", () =>
  withRawServer({ token: tokens("a", "b") }, async (connection, server) => {
    const peer = await server.peer();
    await login(peer, { __expires_in__: "1" });
    answer(peer, await peer.message(1), {}, ErrorCode.ConnectReject);
    answer(peer, await peer.message(2));
    const call = new ServerPrx(connection).echo("a");
    answer(peer, await peer.message(3));
    assert.equal(await call, "a");
  }));

test("a token that comes after the end of its stream is not sent on the next one", () => {
  const waiting: ((token: string) => void)[] = [];
  let asked = 0;
  const token = (): string | Promise<string> => {
    asked += 1;
    return asked === 2 ? new Promise((resolve) => waiting.push(resolve)) : String(asked);
  };
  return withRawServer({ token }, async (_, server) => {
    const peer = await server.peer();
    await login(peer, { __expires_in__: "1" });
    await eventually("the refresh", () => waiting.length === 1);
    peer.socket.destroy();
    const next = await server.peer(1);
    await login(next, { __expires_in__: "2" });
    waiting[0]?.("late");
    assert.deepEqual((await next.message(1)).extra, { __token__: "4" });
    await pause(1000);
    assert.equal(next.received.length, 2);
  });
});

test("a login that does not expire for ages is not refreshed at once", () =>
  withRawServer({ token: () => "t" }, async (_, server) => {
    const peer = await server.peer();
    await login(peer, { __expires_in__: "999999999999999" });
    await pause(300);
    assert.equal(peer.received.length, 1);
  }));

test("a text as token is not refreshed", () =>
  withRawServer({ token: "t" }, async (_, server) => {
    const peer = await server.peer();
    await login(peer, { __expires_in__: "1" });
    await pause(1200);
    assert.equal(peer.received.length, 1);
  }));

for (const code of [4001, 4005]) {
  test(`after the close code ${String(code)} calls fail and the client stays away`, () =>
    withRawServer({ token: "t" }, async (connection, server) => {
      const states: string[] = [];
      connection.onState((state) => states.push(state));
      const prx = new ServerPrx(connection);
      const call = failed(prx.echo("a"));
      const peer = await server.peer();
      await login(peer);
      close(peer, ErrorCode.ConnectReject, "another device", code);
      const error = await call;
      assert.deepEqual([error.code, error.closeCode], [ErrorCode.ConnectionLost, code]);
      assert.equal(error.canRetry, false);
      assert.match(error.message, /another device/);
      assert.deepEqual(states, ["closed"]);
      const later = await failed(prx.echo("b"));
      assert.deepEqual([later.code, later.closeCode], [ErrorCode.ConnectReject, code]);
      assert.equal(later.canRetry, false);
      assert.match(later.text, /another device/);
      assert.throws(() => { prx.heartbeatOneway("c"); }, { code: ErrorCode.ConnectReject });
      assert.equal(connection.closeCode, code);
      await pause(300);
      assert.equal(server.peers.length, 1);
      await connection.close();
      assert.deepEqual(states, ["closed"]);
    }));
}

for (const code of [1008, 4002, undefined]) {
  test(`a client that was refused with ${String(code)} comes back for a call alone`, () =>
    withRawServer({ token: "t" }, async (connection, server) => {
      const peer = await server.peer();
      await login(peer);
      close(peer, ErrorCode.ConnectReject, "no longer", code);
      await eventually("the loss", () => connection.state === "connecting");
      assert.equal(connection.closeCode, code);
      await pause(300);
      assert.equal(server.peers.length, 1);
      void new ServerPrx(connection).echo("a").catch(() => undefined);
      await login(await server.peer(1));
    }));
}

test("other close codes are told, and the client comes back", () =>
  withRawServer({}, async (connection, server) => {
    const call = failed(new ServerPrx(connection).echo("a"));
    const peer = await server.peer();
    await peer.message();
    close(peer, ErrorCode.ConnectFailed, "too slow", 4003);
    const error = await call;
    assert.equal(error.closeCode, CloseCode.SlowReader);
    assert.equal(error.canRetry, true);
    await server.peer(1);
    await eventually("the connection", () => connection.state === "open");
    assert.equal(connection.closeCode, undefined);
  }));

test("with a token function an expired login is made anew", () =>
  withRawServer({ token: tokens("one", "two") }, async (_, server) => {
    const peer = await server.peer();
    await login(peer);
    close(peer, ErrorCode.ConnectReject, "expired", 4002);
    assert.equal((await login(await server.peer(1))).extra["__token__"], "two");
  }));

for (const code of [1008, 1013, undefined]) {
  test(`calls behind a login that is refused with ${String(code)} fail with its reason`, () =>
    withRawServer({ token: "t" }, async (connection, server) => {
      const call = failed(new ServerPrx(connection).echo("a"));
      const peer = await server.peer();
      const text = "unknown token";
      answer(peer, await peer.message(), { __error__: text }, ErrorCode.ConnectReject);
      if (code === undefined) {
        peer.socket.end();
      } else {
        close(peer, code === 1008 ? ErrorCode.ConnectReject : ErrorCode.ConnectFailed, text, code);
      }
      const error = await call;
      assert.equal(error.code, ErrorCode.ConnectReject);
      assert.match(error.text, /unknown token/);
      assert.equal(error.closeCode, code ?? CloseCode.TryLater);
      assert.equal(error.canRetry, code !== 1008);
      await pause(300);
      assert.equal(server.peers.length === 1, code === 1008);
    }));
}

test("a peer that drains gets its client back after the pause that it names", () =>
  withRawServer({}, async (_, server) => {
    const peer = await server.peer();
    const began = Date.now();
    close(peer, ErrorCode.ConnectFailed, "come back in 700 ms", 1012);
    await server.peer(1);
    assert.ok(Date.now() - began > 600);
  }));

for (const [code, isFinal] of [
  [4001, true],
  [1012, false],
] as const) {
  test(`the close frame of a WebSocket says the code ${String(code)}`, async () => {
    const { WebSocketServer } = await import("ws");
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    await once(server, "listening");
    let connections = 0;
    server.on("connection", (webSocket) => {
      connections += 1;
      webSocket.on("message", () => { webSocket.close(code, "said why"); });
    });
    const { port } = server.address() as { port: number };
    const communicator = new Communicator(quiet);
    const connection = await communicator.connect(`ws://127.0.0.1:${String(port)}/`);
    const error = await failed(new ServerPrx(connection).echo("a"));
    assert.equal(error.closeCode, code);
    assert.match(error.text, /said why/);
    assert.equal(error.canRetry, !isFinal);
    await pause(400);
    assert.equal(connections, isFinal ? 1 : 2);
    await communicator.shutdown(100);
    server.clients.forEach((client) => { client.terminate(); });
    server.close();
  });
}

test("pushes that were missed follow, and each reaches its servant once", () =>
  withRawServer({ token: "t", resume: true }, async (connection, server) => {
    const got = collect(connection);
    const events: boolean[] = [];
    connection.onResumed((recovered) => events.push(recovered));
    const first = await server.peer();
    const began = { __epoch__: EPOCH, __offset__: "0", __recovered__: "0" };
    assert.deepEqual((await login(first, began)).extra, { __token__: "t", __resume__: "" });
    push(first, "1", 1);
    push(first, "2", 2);
    push(first, "without an offset");
    await eventually("the pushes", () => got.length === 3);
    first.socket.destroy();
    const second = await server.peer(1);
    const recovered = { __epoch__: EPOCH, __offset__: "2", __recovered__: "1" };
    assert.equal((await login(second, recovered)).extra["__resume__"], `${EPOCH}:2`);
    for (const offset of [2, 3, 4, 5]) {
      push(second, String(offset), offset);
    }
    await eventually("the last push", () => got.at(-1) === "5");
    assert.deepEqual(got, ["1", "2", "without an offset", "3", "4", "5"]);
    assert.deepEqual(events, [false, true]);
    assert.equal(connection.recovered, true);
    second.socket.destroy();
    const third = await server.peer(2);
    const lost = { __epoch__: "b2", __offset__: "7", __recovered__: "0" };
    assert.equal((await login(third, lost)).extra["__resume__"], `${EPOCH}:5`);
    await eventually("the loss is told", () => events.length === 3);
    third.socket.destroy();
    const fourth = await server.peer(3);
    assert.equal((await login(fourth)).extra["__resume__"], "b2:7");
    // It keeps nothing, so that an old position would tell nothing to the next one.
    await eventually("the login", () => connection.recovered === undefined);
    fourth.socket.destroy();
    assert.equal((await login(await server.peer(4))).extra["__resume__"], "");
    assert.deepEqual(events, [false, true, false]);
  }));

test("a client that has seen no push resumes where it began", () =>
  withRawServer({ resume: true }, async (_, server) => {
    const peer = await server.peer();
    const began = { __epoch__: EPOCH, __offset__: "3", __recovered__: "0" };
    assert.deepEqual((await login(peer, began)).extra, { __resume__: "" });
    await pause(100);
    peer.socket.destroy();
    assert.equal((await login(await server.peer(1))).extra["__resume__"], `${EPOCH}:3`);
  }));

test("a twoway push that was handled is answered", () =>
  withRawServer({ resume: true }, async (connection, server) => {
    const got = collect(connection);
    const peer = await server.peer();
    await login(peer, { __epoch__: EPOCH, __offset__: "0" });
    push(peer, "1", 1, 0x01);
    push(peer, "1", 1, 0x01);
    const codes = [(await peer.message(1)).header.errcode, (await peer.message(2)).header.errcode];
    assert.deepEqual(codes, [0, ErrorCode.RemoteMethodException]);
    assert.deepEqual(got, ["1"]);
  }));

test("pushes beyond the capacity come again after a resume", () =>
  withRawServer({ resume: true, servedCalls: 2 }, async (connection, server) => {
    const got: string[] = [];
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    const onMessage = async (text: string): Promise<void> => {
      await opened;
      got.push(text);
    };
    connection.serve(serveITerminal({ onMessage }));
    // A call in flight, so that the client goes on reading.
    const call = failed(new ServerPrx(connection).echo("x"));
    const peer = await server.peer();
    await login(peer, { __epoch__: EPOCH, __offset__: "0" });
    for (let offset = 1; offset < 10; offset++) {
      push(peer, String(offset), offset);
    }
    assert.match((await call).text, /more pushes than are handled/);
    open();
    const again = await server.peer(1);
    const recovered = { __epoch__: EPOCH, __offset__: "0", __recovered__: "1" };
    const received = await login(again, recovered);
    const last = Number(received.extra["__resume__"]?.split(":")[1]);
    assert.ok(last >= 2 && last < 9, String(last));
    for (let offset = last + 1; offset < 10; offset++) {
      push(again, String(offset), offset);
      await eventually("the push", () => got.length === offset);
    }
    assert.deepEqual(got, ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
  }));

test("a peer is left without a failed call", () =>
  withRawServer({ token: "t", resume: true }, async (connection, server) => {
    const got = collect(connection);
    const states: string[] = [];
    connection.onState((state) => states.push(state));
    const prx = new ServerPrx(connection);
    const slow = prx.echo("slow");
    const old = await server.peer();
    await login(old, { __epoch__: EPOCH, __offset__: "0" });
    const call = await old.message(1);
    push(old, "1", 1);
    const began = Date.now();
    goAway(old, 300);
    await eventually("the push", () => got.length === 1);
    const before = prx.echo("before");
    answer(old, await old.message(2));
    assert.equal(await before, "before");
    const next = await server.peer(1);
    assert.ok(Date.now() - began > 250);
    const recovered = { __epoch__: EPOCH, __offset__: "1", __recovered__: "1" };
    assert.equal((await login(next, recovered)).extra["__resume__"], `${EPOCH}:1`);
    const after = prx.echo("after");
    answer(next, await next.message(1));
    assert.equal(await after, "after");
    push(next, "2", 2);
    await eventually("the next push", () => got.length === 2);
    push(old, "2", 2);
    assert.equal(old.isClosed, false);
    answer(old, call);
    assert.equal(await slow, "slow");
    await old.closed();
    assert.deepEqual(got, ["1", "2"]);
    assert.deepEqual(states, ["open"]);
    await pause(100);
    assert.equal(server.peers.length, 2);
    assert.equal(connection.state, "open");
  }));

test("the old stream is used until there is another one", () =>
  withRawServer({}, async (connection, server) => {
    const prx = new ServerPrx(connection);
    const first = prx.echo("a");
    const old = await server.peer();
    const message = await old.message();
    const { endpoint } = server;
    server.stopAccepting();
    goAway(old, 0);
    await pause(300);
    answer(old, message);
    assert.equal(await first, "a");
    const second = prx.echo("b");
    answer(old, await old.message(1));
    assert.equal(await second, "b");
    assert.equal(connection.state, "open");
    const back = await RawServer.listen(Number(new URL(endpoint).port));
    await back.peer();
    await old.closed();
    assert.equal(connection.state, "open");
    await back.close();
  }));

test("what ends on a stream that was left ends nothing else", () =>
  withRawServer({ token: "t" }, async (connection, server) => {
    const slow = failed(new ServerPrx(connection).echo("slow"));
    const old = await server.peer();
    await login(old);
    goAway(old, 0);
    const next = await server.peer(1);
    await login(next);
    // The new login has replaced the old one.
    close(old, ErrorCode.ConnectReject, "replaced", 4001);
    const error = await slow;
    assert.equal(error.code, ErrorCode.ConnectionLost);
    assert.equal(error.canRetry, true);
    assert.equal(connection.state, "open");
    assert.equal(server.peers.length, 2);
  }));

test("the RETURN of a call leaves by the stream by which the call came", () =>
  withRawServer({}, async (connection, server) => {
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    connection.serve(serveITerminal({ onMessage: () => ended }));
    const old = await server.peer();
    push(old, "x", undefined, 0x01);
    goAway(old, 0);
    await server.peer(1);
    end();
    assert.equal((await old.message()).header.calltype, 0x02);
    await old.closed();
  }));

test("numbers of a peer that are none are ignored", () =>
  withRawServer({ token: () => "t", resume: true }, async (connection, server) => {
    const got = collect(connection);
    const peer = await server.peer();
    await login(peer, { __expires_in__: "soon", __epoch__: EPOCH, __offset__: "9".repeat(30) });
    peer.socket.write(message({ ifidx: BUILTIN, opidx: GO_AWAY, calltype: ONEWAY }));
    push(peer, "1", 1);
    await eventually("the push", () => got.length === 1);
    const header = { sequence: 0xffffffff, calltype: 2, ifidx: BUILTIN, errcode: 102 };
    peer.socket.end(message(header, { __error__: "x", __close__: "１０１２" }));
    assert.equal((await login(await server.peer(1))).extra["__resume__"], `${EPOCH}:1`);
  }));
