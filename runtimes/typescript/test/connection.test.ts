/** What a connection does when things go wrong. */

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";

import { Communicator, ErrorCode, Fault, RpcError, type Connection, type NodeOptions } from "tce/node";

import { encodeString } from "#dist/writer.js";
import { encode } from "tce";
import {
  ITerminalPrx,
  serveITerminal,
  serveServer,
  ServerPrx,
  type Server,
} from "./gen/test.js";
import { failed, quiet, withRawServer } from "./support/calls.js";
import { eventually } from "./support/eventually.js";
import { message, RawPeer, RawServer } from "./support/peer.js";

const ECHO = { ifidx: 2, opidx: 0 };
const BUILTIN = 65535;
const LOGIN = 2;

/** A `Server` whose operations the test replaces. */
class TestServer implements Server {
  constructor(operations: Partial<Server> = {}) {
    Object.assign(this, operations);
  }

  datetime(): string {
    return "now";
  }

  echo(text: string): string | Promise<string> {
    return text;
  }

  timeout(): void | Promise<void> {
    // Returns at once.
  }

  heartbeat(): void | Promise<void> {
    // Nothing to do.
  }

  bidirection(): void | Promise<void> {
    // Nothing to do.
  }
}

async function withServer(
  servant: Server,
  use: (server: ServerPrx, connection: Connection, endpoint: string) => Promise<void>,
  options: NodeOptions = {},
): Promise<void> {
  const communicator = new Communicator({ ...quiet, ...options });
  const adapter = await communicator.listen("tcp://127.0.0.1:0");
  adapter.serve(serveServer(servant));
  const connection = await communicator.connect(adapter.endpoint);
  try {
    await use(new ServerPrx(connection), connection, adapter.endpoint);
  } finally {
    await communicator.shutdown(1000);
  }
}

const never = new Promise<never>(() => undefined);

test("a servant's fault reaches the caller, any other error does not", () =>
  withServer(
    new TestServer({
      echo: (text) => {
        throw text === "fault" ? new Fault(1001, "ausverkauft: 売り切れ") : new Error("secret");
      },
      heartbeat: async () => {
        await Promise.resolve();
        throw new Fault(0, "zero");
      },
    }),
    async (server) => {
      const fault = await failed(server.echo("fault"));
      assert.deepEqual([fault.code, fault.text], [1001, "ausverkauft: 売り切れ"]);
      assert.equal(fault.side, "remote");
      const internal = await failed(server.echo("other"));
      assert.deepEqual([internal.code, internal.text], [ErrorCode.RemoteException, "internal error"]);
      const zero = await failed(server.heartbeat(""));
      assert.deepEqual([zero.code, zero.text], [ErrorCode.RemoteException, "zero"]);
    },
  ));

test("the beginning of a long error text reaches the caller", () =>
  withServer(
    new TestServer({
      echo: (text) => {
        throw new Fault(1, text);
      },
    }),
    async (server) => {
      const ascii = await failed(server.echo("x".repeat(100_000)));
      assert.equal(ascii.text, "x".repeat(8192));
      const emojis = await failed(server.echo("😈".repeat(10_000)));
      assert.equal(emojis.text, "😈".repeat(2048));
    },
  ));

test("a result that can't be sent is an error that forbids a retry", () =>
  withServer(
    new TestServer({
      echo: (text) => (text === "large" ? "x".repeat(5 << 20) : (7 as unknown as string)),
    }),
    async (server) => {
      for (const text of ["large", "wrong"]) {
        const error = await failed(server.echo(text));
        assert.equal(error.code, ErrorCode.RemoteMethodException);
        assert.equal(error.canRetry, false);
      }
      assert.equal(await server.datetime(), "now");
    },
  ));

test("a call that its type or the limits forbid is not sent, and others are", () =>
  withServer(new TestServer(), async (server) => {
    await assert.rejects(server.timeout(2 ** 31), RangeError);
    const error = await failed(server.echo("x".repeat(5 << 20)));
    assert.equal(error.code, ErrorCode.SendFailed);
    assert.match(error.text, /limit of a frame/);
    await assert.rejects(server.echo("x", { timeoutMs: Infinity }), RangeError);
    assert.equal(await server.echo("after"), "after");
  }));

test("a timeout, an aborted call and a late RETURN cost only the call", () =>
  withServer(
    new TestServer({
      echo: async (text) => {
        await new Promise((resolve) => setTimeout(resolve, text === "slow" ? 100 : 0));
        return text;
      },
    }),
    async (server) => {
      const error = await failed(server.echo("slow", { timeoutMs: 20 }));
      assert.equal(error.code, ErrorCode.Timeout);
      assert.equal(error.canRetry, true);
      const controller = new AbortController();
      const aborted = server.echo("slow", { signal: controller.signal });
      const reason = new Error("the user has gone");
      controller.abort(reason);
      await assert.rejects(aborted, reason);
      await assert.rejects(server.echo("x", { signal: controller.signal }), reason);
      await new Promise((resolve) => setTimeout(resolve, 150));
      assert.equal(await server.echo("after"), "after");
    },
  ));

test("a call that sets a timeout carries its deadline, another does not", () =>
  withRawServer({}, async (connection, server) => {
    const prx = new ServerPrx(connection);
    const peer = await server.peer();
    void prx.echo("a").catch(() => undefined);
    void prx.echo("b", { timeoutMs: 5000, extra: { k: "v" } }).catch(() => undefined);
    assert.deepEqual((await peer.message(0)).extra, {});
    const { k, __deadline__: deadline } = (await peer.message(1)).extra;
    assert.equal(k, "v");
    assert.ok(Math.abs(Number(deadline) - Date.now() - 5000) < 2000, deadline);
  }));

test("a call after its deadline is answered, and not executed", async () => {
  let calls = 0;
  const servant = new TestServer({
    echo: (text) => {
      calls += 1;
      return text;
    },
  });
  await withServer(servant, async (_, __, endpoint) => {
    const peer = await RawPeer.connect(endpoint);
    const params = encode("x", encodeString);
    const deadline = (inMs: number): Record<string, string> => ({
      __deadline__: String(Date.now() + inMs),
    });
    peer.socket.write(message({ ...ECHO, sequence: 5 }, deadline(-2000), params));
    peer.socket.write(message({ ...ECHO, sequence: 6 }, deadline(-500), params));
    const refused = await peer.message(0);
    assert.deepEqual([refused.header.sequence, refused.header.errcode], [5, ErrorCode.Timeout]);
    assert.match(refused.extra["__error__"] ?? "", /after its deadline and was not executed/);
    assert.equal((await peer.message(1)).header.errcode, 0);
    assert.equal(calls, 1);
    peer.socket.destroy();
  });
});

test("extra of a routed call that leaves no space is returned without more", () =>
  withServer(
    new TestServer({
      echo: (text, ctx) => {
        ctx.returnExtra("answer", "42");
        if (text === "fault") {
          throw new Fault(8, "y".repeat(8000));
        }
        return text;
      },
    }),
    async (_, __, endpoint) => {
      const peer = await RawPeer.connect(endpoint);
      const lengths: [string, number][] = [
        ["fault", 60_000],
        ["x", 65_520],
      ];
      for (const [text, length] of lengths) {
        const extra = { l: "x".repeat(length) };
        peer.socket.write(message({ ...ECHO, callId: 0x8000 }, extra, encode(text, encodeString)));
      }
      // A RETURN that is refused lets a caller behind a gateway wait until its timeout.
      const fault = await peer.message(0);
      assert.equal(fault.header.errcode, 8);
      assert.deepEqual(Object.keys(fault.extra), ["l"]);
      const result = await peer.message(1);
      assert.equal(result.header.errcode, ErrorCode.RemoteMethodException);
      assert.deepEqual(Object.keys(result.extra), ["l"]);
      peer.socket.destroy();
    },
  ));

test("a RETURN repeats what a gateway routes by, and nothing otherwise", () =>
  withServer(new TestServer(), async (_, __, endpoint) => {
    const peer = await RawPeer.connect(endpoint);
    const params = encode("x", encodeString);
    const extra = { __user_id__: "ann", b: "2" };
    peer.socket.write(message({ ...ECHO, sequence: 0, callId: 0x8001 }, extra, params));
    peer.socket.write(message({ ...ECHO, sequence: 1 }, extra, params));
    peer.socket.write(message({ ifidx: 99, sequence: 2, callId: 0x8001 }, extra, params));
    const routed = await peer.message(0);
    assert.deepEqual(routed.extra, extra);
    const { sequence, calltype, ifidx, callId } = routed.header;
    assert.deepEqual({ sequence, calltype, ifidx, callId }, {
      sequence: 0,
      calltype: 2,
      ifidx: 2,
      callId: 0x8001,
    });
    assert.deepEqual((await peer.message(1)).extra, {});
    const { __error__: text, ...rest } = (await peer.message(2)).extra;
    assert.match(text ?? "", /no servant/);
    assert.deepEqual(rest, extra);
    peer.socket.destroy();
  }));

test("messages that make no sense cost themselves, and many of them the connection", () =>
  withServer(new TestServer(), async (_, __, endpoint) => {
    const peer = await RawPeer.connect(endpoint);
    const params = encode("x", encodeString);
    peer.socket.write(message({ msgtype: 9 }));
    peer.socket.write(message({ calltype: 0 }));
    peer.socket.write(message({ calltype: 2, sequence: 77 }));
    peer.socket.write(message({ ...ECHO, sequence: 3 }, {}, params));
    assert.equal((await peer.message(0)).header.sequence, 3);
    // Its extra announces more than there is.
    const cut = message({ ...ECHO, sequence: 4 }, { key: "value" });
    cut.writeUInt32BE(100, cut.length - 16);
    peer.socket.write(cut);
    assert.equal((await peer.message(1)).header.errcode, ErrorCode.DataDirty);
    for (let i = 0; i < 16; i++) {
      peer.socket.write(message({ msgtype: 9 }));
    }
    await peer.closed();
  }));

test("a peer that speaks another protocol is disconnected, and the log says why", async () => {
  const lines: string[] = [];
  const log = (_: string, line: string): void => void lines.push(line);
  await withServer(
    new TestServer(),
    async (server, _, endpoint) => {
      const peer = await RawPeer.connect(endpoint);
      peer.socket.write("GET / HTTP/1.1\r\n\r\n");
      await peer.closed();
      assert.match(lines.join("\n"), /wrong magic 0x47455420/);
      assert.equal(await server.echo("others stay"), "others stay");
    },
    { log },
  );
});

test("calls in flight fail when the connection is lost, and it comes back with its servants", async () => {
  const server = await RawServer.listen();
  const communicator = new Communicator(quiet);
  const connection = await communicator.connect(server.endpoint);
  const got: string[] = [];
  connection.serve(serveITerminal({ onMessage: (text) => void got.push(text) }));
  const states: string[] = [];
  connection.onState((state, reason) => states.push(`${state}: ${reason}`));
  const call = failed(new ServerPrx(connection).echo("x"));
  const peer = await server.peer();
  await peer.message();
  peer.socket.destroy();
  const error = await call;
  assert.equal(error.code, ErrorCode.ConnectionLost);
  assert.equal(error.canRetry, true);
  const again = await server.peer(1);
  again.socket.write(message({ ifidx: 3 }, {}, encode("pushed", encodeString)));
  await eventually("the push", () => got.length === 1);
  assert.deepEqual(got, ["pushed"]);
  assert.deepEqual(states, ["connecting: the peer closed the connection", "open: connected"]);
  await server.close();
  await communicator.shutdown(100);
});

test("a call on a lost connection asks for an attempt, and fails with it", async () => {
  const server = await RawServer.listen();
  const communicator = new Communicator(quiet);
  const connection = await communicator.connect(server.endpoint);
  const prx = new ServerPrx(connection);
  const { port } = server;
  await server.close();
  await eventually("the loss", () => connection.state === "connecting");
  const error = await failed(prx.echo("x"));
  assert.equal(error.code, ErrorCode.ConnectFailed);
  assert.match(error.text, /ECONNREFUSED/);
  assert.throws(() => {
    prx.heartbeatOneway("x");
  }, { code: ErrorCode.SendFailed });
  const back = await RawServer.listen(port);
  void prx.echo("waits").catch(() => undefined);
  const received = await (await back.peer()).message();
  assert.equal(received.params.subarray(4).toString(), "waits");
  await back.close();
  await communicator.shutdown(100);
});

test("the token is asked for at each connect, and sent up to the first call", async () => {
  let asked = 0;
  const token = async (): Promise<string> => {
    await Promise.resolve();
    asked += 1;
    return `token ${String(asked)}`;
  };
  await withRawServer({ token, deviceId: "phone" }, async (connection, server) => {
    const prx = new ServerPrx(connection);
    void prx.echo("a", { extra: { k: "v" } }).catch(() => undefined);
    void prx.echo("b").catch(() => undefined);
    const peer = await server.peer();
    const credentials = { __token__: "token 1", __device_id__: "phone" };
    assert.deepEqual((await peer.message(0)).extra, credentials);
    assert.deepEqual((await peer.message(1)).extra, { ...credentials, k: "v" });
    assert.deepEqual((await peer.message(2)).extra, {});
    peer.socket.destroy();
    // The program makes no call, so the connection logs in by itself.
    const login = await (await server.peer(1)).message();
    const { ifidx, opidx, calltype } = login.header;
    assert.deepEqual([ifidx, opidx, calltype], [BUILTIN, LOGIN, 0x01]);
    assert.deepEqual(login.extra, { __token__: "token 2", __device_id__: "phone" });
  });
});

test("a client that only listens logs in after a second", () =>
  withRawServer({ token: "t" }, async (_, server) => {
    const login = await (await server.peer()).message();
    assert.equal(login.extra["__token__"], "t");
  }));

test("a token that can't be had fails the attempt", async () => {
  const server = await RawServer.listen();
  const communicator = new Communicator({ token: () => Promise.reject(new Error("no session")) });
  const error = await failed(communicator.connect(server.endpoint));
  assert.equal(error.code, ErrorCode.ConnectFailed);
  assert.match(error.text, /there is no token: no session/);
  const slow = new Communicator({ token: () => never, connectTimeMs: 50 });
  assert.match((await failed(slow.connect(server.endpoint))).text, /took longer than 50 ms/);
  await server.close();
});

test("a peer's goodbye is told, and after a refusal only a call connects again", () =>
  withRawServer({}, async (connection, server) => {
    const states: string[] = [];
    connection.onState((state, reason) => states.push(`${state}: ${reason}`));
    const peer = await server.peer();
    const goodbye = {
      sequence: 0xffffffff,
      calltype: 2,
      ifidx: BUILTIN,
      errcode: ErrorCode.ConnectReject,
    };
    peer.socket.end(message(goodbye, { __error__: "the login has expired" }));
    await eventually("the end", () => states.length > 0);
    assert.deepEqual(states, [
      "connecting: the peer closed the connection: CONNECT_REJECT: the login has expired",
    ]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(server.peers.length, 1);
    void new ServerPrx(connection).echo("x").catch(() => undefined);
    await (await server.peer(1)).message();
  }));

test("a peer that reads nothing makes calls fail, and loses its connection", () =>
  withRawServer({ sendBuffer: 2 << 20, stallTimeMs: 400 }, async (connection, server) => {
    const peer = await server.peer();
    peer.socket.pause();
    const prx = new ServerPrx(connection);
    const text = "x".repeat(1 << 20);
    let error: unknown;
    for (let i = 0; i < 100 && error === undefined; i++) {
      try {
        prx.heartbeatOneway(text);
      } catch (thrown) {
        error = thrown;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(error instanceof RpcError);
    assert.equal(error.code, ErrorCode.SendFailed);
    assert.match(error.text, /2097152 bytes wait to be sent/);
    assert.ok(connection.bufferedAmount < 8 << 20, String(connection.bufferedAmount));
    const reasons: string[] = [];
    connection.onState((_, reason) => reasons.push(reason));
    await eventually("the end", () => reasons.length > 0);
    assert.match(reasons[0] ?? "", /took no bytes for 400 ms/);
  }));

test("a frame that does not end in time ends the connection", () =>
  withServer(
    new TestServer(),
    async (server, _, endpoint) => {
      const peer = await RawPeer.connect(endpoint);
      peer.socket.write(message(ECHO).subarray(0, 20));
      await peer.closed();
      assert.equal(await server.echo("others stay"), "others stay");
    },
    { frameTimeMs: 200 },
  ));

test("calls beyond the limit of served ones wait, and all are answered", async () => {
  let served = 0;
  let most = 0;
  const servant = new TestServer({
    echo: async (text) => {
      served += 1;
      most = Math.max(most, served);
      await new Promise((resolve) => setTimeout(resolve, 1));
      served -= 1;
      return text;
    },
  });
  await withServer(
    servant,
    async (server) => {
      const texts = Array.from({ length: 500 }, (_, i) => String(i));
      assert.deepEqual(await Promise.all(texts.map((text) => server.echo(text))), texts);
      assert.ok(most <= 16, String(most));
    },
    { servedCalls: 16 },
  );
});

test("a peer that calls and reads no answers costs bounded memory", () =>
  withServer(
    new TestServer(),
    async (server, _, endpoint) => {
      const peer = await RawPeer.connect(endpoint);
      peer.socket.pause();
      const call = message(ECHO, {}, encode("x".repeat(1 << 16), encodeString));
      const before = process.memoryUsage().arrayBuffers;
      for (let i = 0; i < 500; i++) {
        peer.socket.write(call);
        await new Promise((resolve) => setImmediate(resolve));
      }
      // What the test itself has written and what waits, without the answers.
      const grown = process.memoryUsage().arrayBuffers - before - peer.socket.writableLength;
      assert.ok(grown < 16 << 20, String(grown));
      assert.equal(await server.echo("others stay"), "others stay");
      await peer.closed();
    },
    { sendBuffer: 1 << 20, stallTimeMs: 500 },
  ));

test("two sides that flood each other with calls do not wait for each other", () =>
  withServer(
    new TestServer({
      bidirection: async (ctx) => {
        const caller = new ITerminalPrx(ctx.connection);
        await caller.onMessage("x".repeat(1000));
      },
    }),
    async (server, connection) => {
      connection.serve(serveITerminal({ onMessage: () => undefined }));
      const calls = Array.from({ length: 2000 }, () => server.bidirection());
      await Promise.all(calls);
    },
    { servedCalls: 8, sendBuffer: 64 << 10, callsInFlight: 4096 },
  ));

test("a shutdown lets calls in flight end and refuses others", async () => {
  let finish = (): void => undefined;
  const communicator = new Communicator(quiet);
  const adapter = await communicator.listen("tcp://127.0.0.1:0");
  const waits = new Promise<void>((resolve) => {
    finish = resolve;
  });
  adapter.serve(serveServer(new TestServer({ heartbeat: () => waits })));
  const client = new Communicator(quiet);
  const server = new ServerPrx(await client.connect(adapter.endpoint));
  const call = server.heartbeat("x");
  await server.echo("the call has arrived");
  const down = communicator.shutdown(10_000);
  const refused = await failed(server.echo("too late"));
  assert.equal(refused.code, ErrorCode.ConnectReject);
  finish();
  await call;
  assert.equal(await down, true);
  await client.shutdown(100);
});

test("a shutdown ends in time although a servant does not", async () => {
  const communicator = new Communicator(quiet);
  const adapter = await communicator.listen("tcp://127.0.0.1:0");
  adapter.serve(serveServer(new TestServer({ heartbeat: () => never })));
  const client = new Communicator(quiet);
  const server = new ServerPrx(await client.connect(adapter.endpoint));
  const call = failed(server.heartbeat("x"));
  await server.echo("the call has arrived");
  assert.equal(await communicator.shutdown(50), false);
  assert.equal((await call).code, ErrorCode.ConnectionLost);
  await client.shutdown(100);
});

test("connections beyond the limit are refused with a reason", async () => {
  const communicator = new Communicator({ ...quiet, connections: 1 });
  for (const scheme of ["tcp", "ws"]) {
    const adapter = await communicator.listen(`${scheme}://127.0.0.1:0`);
    const client = new Communicator(quiet);
    await client.connect(adapter.endpoint);
    if (scheme === "ws") {
      const error = await failed(client.connect(adapter.endpoint));
      assert.equal(error.code, ErrorCode.ConnectReject);
      assert.match(error.text, /503 \(the server has as many connections as it may have/);
    } else {
      const second = await client.connect(adapter.endpoint);
      const reasons: string[] = [];
      second.onState((_, reason) => reasons.push(reason));
      await eventually("the refusal", () => reasons.length > 0);
      assert.match(reasons[0] ?? "", /CONNECT_FAILED: the server has as many connections/);
    }
    await client.shutdown(100);
  }
  await communicator.shutdown(100);
});

test("a page of another site is refused where origins are set", async () => {
  const communicator = new Communicator({ ...quiet, origins: ["https://chat.example.org"] });
  const adapter = await communicator.listen("ws://127.0.0.1:0/path");
  const { WebSocket } = await import("ws");
  const status = (origin: string, path: string): Promise<number> =>
    new Promise((resolve) => {
      const socket = new WebSocket(adapter.endpoint.replace("/path", path), { origin });
      socket.on("open", () => {
        socket.close();
        resolve(101);
      });
      socket.on("unexpected-response", (_, response) => {
        resolve(response.statusCode ?? 0);
      });
    });
  assert.equal(await status("https://chat.example.org", "/path"), 101);
  assert.equal(await status("https://evil.example", "/path"), 403);
  assert.equal(await status("https://chat.example.org", "/other"), 404);
  await communicator.shutdown(100);
});

test("endpoints that are malformed are refused with an example", async () => {
  const communicator = new Communicator();
  for (const [endpoint, why] of [
    ["tpc://localhost:1", /the scheme must be one of tcp, ssl, ws, wss/],
    ["tcp://localhost", /the port must be a number/],
    ["tcp://localhost:99999", /the port must be a number up to 65535/],
    ["tcp://localhost:1/path", /only ws:\/\/ and wss:\/\/ have a path/],
    ["tcp://:1", /it must have a host and a port/],
  ] as const) {
    assert.match((await failed(communicator.connect(endpoint))).text, why);
  }
  const error = await failed(communicator.connect("tcp://127.0.0.1:1"));
  assert.equal(error.code, ErrorCode.ConnectFailed);
  const taken = await communicator.listen("tcp://127.0.0.1:0");
  assert.match((await failed(communicator.listen(taken.endpoint))).text, /EADDRINUSE/);
  await communicator.shutdown(100);
});

test("a closed connection sends what waits, and then refuses calls", async () => {
  const got: string[] = [];
  const servant = new TestServer({ heartbeat: (text) => void got.push(text) });
  await withServer(servant, async (server, connection) => {
    server.heartbeatOneway("last");
    await connection.close();
    assert.equal(connection.state, "closed");
    const error = await failed(server.echo("x"));
    assert.equal(error.code, ErrorCode.SendFailed);
    await eventually("the last call", () => got.length === 1);
  });
});

test("a signal and a timeout leave nothing behind when their calls have ended", () =>
  withServer(new TestServer(), async (server) => {
    const { signal } = new AbortController();
    const before = process.getActiveResourcesInfo().filter((it) => it === "Timeout").length;
    for (let i = 0; i < 100; i++) {
      await server.echo("x", { signal, timeoutMs: 1_000_000 });
    }
    assert.equal(getEventListeners(signal, "abort").length, 0);
    const after = process.getActiveResourcesInfo().filter((it) => it === "Timeout").length;
    // Both ends may watch their peer.
    assert.ok(after <= before + 2, `${String(before)}, then ${String(after)}`);
  }));
