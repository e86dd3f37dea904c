/** What users of other systems have reported, tried here. */

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";

import { Communicator, ErrorCode, type Connection } from "tce/node";

import { ITerminalPrx, serveITerminal, serveServer, ServerPrx, type Server } from "./gen/test.js";
import { eventually } from "./support/eventually.js";

/** Answers, and calls its callers back. */
const servant: Server = {
  datetime: () => "now",
  echo: (text) => text,
  timeout: () => new Promise(() => undefined),
  heartbeat: () => undefined,
  bidirection: (ctx) => {
    new ITerminalPrx(ctx.connection).onMessageOneway("pushed");
  },
};

/** Listens; a second one is at the endpoint of the first. */
async function listen(endpoint = "tcp://127.0.0.1:0"): Promise<[Communicator, string]> {
  const communicator = new Communicator({ log: () => undefined });
  const adapter = await communicator.listen(endpoint);
  adapter.serve(serveServer(servant));
  return [communicator, adapter.endpoint];
}

async function withServer(
  use: (server: ServerPrx, connection: Connection) => Promise<void>,
): Promise<void> {
  const [communicator, endpoint] = await listen();
  const client = new Communicator({ log: () => undefined });
  const connection = await client.connect(endpoint);
  await use(new ServerPrx(connection), connection);
  await client.shutdown(100);
  await communicator.shutdown(100);
}

// grpc/grpc-node#1411, #2785: after the first error no call ends, or the client never comes back.
test("each call on a server that is away fails, and one after its restart succeeds", async () => {
  const [first, endpoint] = await listen();
  let server = first;
  const client = new Communicator({ log: () => undefined });
  const prx = new ServerPrx(await client.connect(endpoint));
  for (let restarts = 0; restarts < 2; restarts++) {
    await server.shutdown(100);
    for (let calls = 0; calls < 5; calls++) {
      await assert.rejects(prx.echo("x"), (error: { code: number }) =>
        [ErrorCode.ConnectFailed, ErrorCode.ConnectionLost].some((code) => code === error.code),
      );
    }
    [server] = await listen(endpoint);
    await eventually("an answer", async () => {
      try {
        return (await prx.echo("back")) === "back";
      } catch {
        return false;
      }
    });
  }
  await client.shutdown(100);
  await server.shutdown(100);
});

// connectrpc/connect-es#476, #1454: a rejection that nothing handles, an unexpected error.
test("an aborted call rejects once, with the reason of its signal", () =>
  withServer(async (server) => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", note);
    const aborted = new AbortController();
    const call = server.timeout(1, { signal: aborted.signal });
    aborted.abort();
    await assert.rejects(call, { name: "AbortError" });
    await assert.rejects(server.echo("x", { signal: aborted.signal }), { name: "AbortError" });
    const signal = AbortSignal.timeout(20);
    await assert.rejects(server.timeout(1, { signal }), { name: "TimeoutError" });
    await new Promise((resolve) => setTimeout(resolve, 20));
    process.off("unhandledRejection", note);
    assert.deepEqual(unhandled, []);
  }));

// nodejs/node#47449, nodejs/undici#5285: MaxListenersExceededWarning for calls with one signal.
test("many calls with one signal are no leak of listeners", () =>
  withServer(async (server) => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on("warning", note);
    const abort = new AbortController();
    const { signal } = abort;
    const calls = Array.from({ length: 50 }, () => server.timeout(1, { signal }));
    const ended = Promise.allSettled(calls);
    assert.equal(await server.echo("x", { signal }), "x");
    assert.equal(getEventListeners(signal, "abort").length, 1);
    abort.abort();
    assert.ok((await ended).every(({ status }) => status === "rejected"));
    assert.equal(getEventListeners(signal, "abort").length, 0);
    await new Promise((resolve) => setTimeout(resolve, 10));
    process.off("warning", note);
    assert.deepEqual(warnings, []);
  }));

// socketio/socket.io#430, #758: after reconnects each message is handled several times.
// zeroc-ice/ice#194, #1340: a program in Node can't listen, or is not called back.
test("a servant that is set again at each connect handles a push once", async () => {
  const [first, endpoint] = await listen();
  let server = first;
  const client = new Communicator({ log: () => undefined });
  const connection = await client.connect(endpoint);
  let pushes = 0;
  const serve = (): void => {
    connection.serve(serveITerminal({ onMessage: () => void (pushes += 1) }));
  };
  serve();
  connection.onState((state) => {
    if (state === "open") {
      serve();
    }
  });
  for (let restarts = 0; restarts < 3; restarts++) {
    await server.shutdown(100);
    await eventually("the loss", () => connection.state === "connecting");
    [server] = await listen(endpoint);
    await new ServerPrx(connection).echo("now").catch(() => undefined);
    await eventually("a connection", () => connection.state === "open");
  }
  await new ServerPrx(connection).bidirection();
  await eventually("the push", () => pushes > 0);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(pushes, 1);
  await client.shutdown(100);
  await server.shutdown(100);
});

// grpc/grpc-node#1167, grpc/grpc-web#556: a timer of more than 2^31 ms fires at once.
test("a timeout that no timer can have is an error, and the call is not sent", () =>
  withServer(async (server) => {
    for (const timeoutMs of [2 ** 31, Infinity, NaN, 0, -1]) {
      await assert.rejects(server.echo("x", { timeoutMs }), /timeoutMs must be above 0/);
    }
    assert.equal(await server.echo("x", { timeoutMs: 2 ** 31 - 1 }), "x");
  }));
