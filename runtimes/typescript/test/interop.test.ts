/** This runtime and the one for Rust: servers, clients and gateways of each. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import {
  CloseCode,
  Communicator,
  describe,
  ErrorCode,
  ping,
  RpcError,
  type Connection,
  type NodeOptions,
} from "tce/node";

import { IMessageServerPrx, serveITerminal as serveUser } from "./gen/sendmessage.js";
import { serveITerminal, ServerPrx } from "./gen/test.js";
import { serveKeeper } from "./gen/zoo.js";
import { Cable } from "./support/cable.js";
import { withCertificate } from "./support/certificate.js";
import { Chat } from "./support/chat.js";
import { eventually } from "./support/eventually.js";
import { Echo } from "./support/keeper.js";
import { Program, target } from "./support/programs.js";

const run = promisify(execFile);

/** The operations of the example `simple`, called from here. */
async function callSimple(connection: Connection): Promise<void> {
  const server = new ServerPrx(connection);
  const got: string[] = [];
  connection.serve(serveITerminal({ onMessage: (text) => void got.push(text) }));
  assert.equal(await server.echo("hellö 😀", { extra: { name: "scott.bo" } }), "Yah! hellö 😀");
  assert.match(await server.datetime(), /^\d{4}-/);
  server.heartbeatOneway("hello");
  await server.bidirection();
  await eventually("the push", () => got.length === 1);
  assert.deepEqual(got, ["server push message!"]);
  await assert.rejects(server.timeout(-1), {
    code: ErrorCode.RemoteException,
    text: "`secs` must not be negative",
  });
  await assert.rejects(server.timeout(1, { timeoutMs: 50 }), { code: ErrorCode.Timeout });
  const texts = Array.from({ length: 500 }, (_, i) => "x".repeat(i * 20));
  const echoed = await Promise.all(texts.map((text) => server.echo(text)));
  assert.deepEqual(echoed, texts.map((text) => `Yah! ${text}`));
}

test("a server in Rust serves this client", () =>
  withCertificate(async ({ certPath, keyPath, cert }) => {
    for (const scheme of ["tcp", "ssl"]) {
      const tls = scheme === "ssl" ? ["--cert", certPath, "--key", keyPath] : [];
      const endpoint = `${scheme}://localhost:0`;
      const server = new Program("simple-server", ["--endpoint", endpoint, ...tls]);
      const communicator = new Communicator({ tls: { ca: cert } });
      const connection = await communicator.connect(await server.line(/^listening on (.*)/));
      await ping(connection);
      assert.match((await describe(connection))[0] ?? "", /interface Server/);
      await callSimple(connection);
      await communicator.shutdown();
      await server.stop();
    }
  }));

/** Gateways with an endpoint of each kind in front of a server. */
function services(port: string, certPath: string, keyPath: string): string {
  const kinds = [
    ["tcp", "socket", ""],
    ["ssl", "socket", certPath],
    ["ws", "websocket", ""],
    ["wss", "websocket", certPath],
  ];
  const endpoints = kinds.map(([name = "", type = "", cert = ""]) => {
    const tls = cert === "" ? "" : ` certfile="${certPath}" keyfile="${keyPath}"`;
    return `<ep name="${name}" type="${type}" host="localhost" port="0"${tls}/>`;
  });
  const servers = kinds.map(([name = ""]) => {
    const route = `<call in="${name}" out="server"/><return in="server" out="${name}"/>`;
    return `<server name="gateway_${name}" type="socket server">
      <route if="test.BaseServer">${route}</route>
      <route if="test.Server">${route}</route>
      <route if="test.ITerminal"><call in="server" out="${name}"/></route>
      <properties><property name="listen" value="${name}"/></properties>
    </server>`;
  });
  return `<SNS>
    <InterfaceDef>
      <if id="0" name="test.BaseServer"/><if id="2" name="test.Server"/>
      <if id="3" name="test.ITerminal"/>
    </InterfaceDef>
    <EndPoints>${endpoints.join("")}
      <ep name="server" type="socket" host="127.0.0.1" port="${port}"/></EndPoints>
    <servers>${servers.join("")}</servers></SNS>`;
}

/** Waits until a gateway has connected to its server. */
async function connected(connection: Connection): Promise<void> {
  for (let attempts = 0; attempts < 500; attempts++) {
    try {
      await new ServerPrx(connection).datetime();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

test("a gateway forwards calls of this client, and pushes to it, over every transport", () =>
  withCertificate(async ({ certPath, keyPath, cert }) => {
    const server = new Program("simple-server", ["--endpoint", "tcp://127.0.0.1:0"]);
    const port = await server.line(/^listening on .*:(\d+)/);
    const folder = mkdtempSync(join(tmpdir(), "tce-"));
    const file = join(folder, "services.xml");
    writeFileSync(file, services(port, certPath, keyPath));
    const schemes = ["tcp", "ssl", "ws", "wss"];
    const names = schemes.map((scheme) => `gateway_${scheme}`);
    const gateway = new Program("tce-gateway", [file, ...names]);
    for (const scheme of schemes) {
      const found = await gateway.line(new RegExp(`${scheme}://[^ ,"]*:(\\d+)`));
      const communicator = new Communicator({ tls: { ca: cert } });
      const connection = await communicator.connect(`${scheme}://localhost:${found}`);
      await connected(connection);
      await callSimple(connection);
      await communicator.shutdown();
    }
    await gateway.stop();
    await server.stop();
    rmSync(folder, { recursive: true });
  }));

test("no call fails when a gateway restarts", async () => {
  const server = new Program("simple-server", ["--endpoint", "tcp://127.0.0.1:0"]);
  const serverPort = await server.line(/^listening on .*:(\d+)/);
  const folder = mkdtempSync(join(tmpdir(), "tce-"));
  const start = async (scheme: string, port: string): Promise<[Program, string]> => {
    const file = join(folder, "services.xml");
    const properties = `<property name="userid_check" value="true"/>
      <property name="auth" value="token"/><property name="drain_time" value="1"/></properties>`;
    const text = services(serverPort, "", "")
      .replaceAll("</properties>", properties)
      .replaceAll('port="0"', `port="${port}"`);
    writeFileSync(file, text);
    const gateway = new Program("tce-gateway", [file, `gateway_${scheme}`]);
    const found = await gateway.line(new RegExp(`${scheme}://[^ ,"]*:(\\d+)`));
    return [gateway, found];
  };
  for (const scheme of ["tcp", "ws"]) {
    const [old, port] = await start(scheme, "0");
    const communicator = new Communicator({ token: "scott" });
    const connection = await communicator.connect(`${scheme}://localhost:${port}`);
    await connected(connection);
    const prx = new ServerPrx(connection);
    const over = new AbortController();
    const caller = (async (): Promise<number> => {
      let calls = 0;
      for (; !over.signal.aborted; calls++) {
        await prx.echo(String(calls));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      return calls;
    })();
    const slow = prx.timeout(2);
    await prx.echo("the slow call has arrived");
    const stopped = old.stop("SIGTERM");
    await old.line(/sending the clients elsewhere/);
    const [next] = await start(scheme, port);
    await Promise.all([slow, stopped]);
    over.abort();
    assert.ok((await caller) > 50);
    await communicator.shutdown();
    await next.stop();
  }
  await server.stop();
  rmSync(folder, { recursive: true });
});

/** As `tce call` writes it: bytes in base64. */
const FAMILY = {
  name: "family",
  pets: [
    {
      name: "Möp 😀",
      b: 255,
      flag: true,
      s: -32768,
      i: -2147483648,
      l: Number.MIN_SAFE_INTEGER,
      flt: 0.5,
      dbl: 1e300,
      tags: ["", "ключ"],
      blob: "AP8B",
    },
  ],
  named: {},
};

test("a client in Rust calls a servant of this runtime over every transport", () =>
  withCertificate(async ({ certPath, cert, key }) => {
    const communicator = new Communicator({ tls: { cert, key } });
    for (const scheme of ["tcp", "ssl", "ws", "wss"]) {
      const adapter = await communicator.listen(`${scheme}://localhost:0`);
      adapter.serve(serveKeeper(new Echo()));
      const call = async (operation: string, argument: unknown): Promise<unknown> => {
        const { stdout } = await run(join(target(), "tce"), [
          ...["call", adapter.endpoint, `Keeper.${operation}`, JSON.stringify(argument)],
          ...["--ca", certPath],
        ]);
        return JSON.parse(stdout) as unknown;
      };
      const family = { ...FAMILY, chief: FAMILY.pets[0] };
      assert.deepEqual(await call("roundtrip", family), family);
      assert.deepEqual(await call("table", [[1], [], [-1, 2]]), [[1], [], [-1, 2]]);
      assert.deepEqual(await call("names", { "-7": "x" }), { "-7": "x" });
      assert.deepEqual(await call("real", -1.5), -1.5);
      const big = ["call", adapter.endpoint, "Keeper.big", "-9223372036854775808"];
      const { stdout } = await run(join(target(), "tce"), [...big, "--ca", certPath]);
      assert.equal(stdout.trim(), "-9223372036854775808");
    }
    await communicator.shutdown();
  }));

/** A user of the example `sendmessage`. */
class User {
  readonly name: string;
  readonly got: string[] = [];
  readonly #communicator: Communicator;
  connection: Connection | undefined;

  constructor(name: string, options: NodeOptions = {}) {
    this.name = name;
    const log = (): void => undefined;
    this.#communicator = new Communicator({ token: () => name, log, ...options });
  }

  async logIn(endpoint: string): Promise<IMessageServerPrx> {
    this.connection = await this.#communicator.connect(endpoint);
    this.connection.serve(
      serveUser({
        onMessage: (from, text) => void this.got.push(`${from}: ${text}`),
        onUser: () => undefined,
      }),
    );
    const server = new IMessageServerPrx(this.connection);
    await server.login();
    return server;
  }

  logOut(): Promise<boolean> {
    return this.#communicator.shutdown(1000);
  }
}

/** Sends a message once its receiver is on line. */
async function send(server: IMessageServerPrx, to: string, text: string): Promise<void> {
  for (let attempts = 0; ; attempts++) {
    try {
      await server.sendMessage(to, text);
      return;
    } catch (error) {
      const isRetryable = error instanceof RpcError && attempts < 500;
      if (!isRetryable) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

test("users of two gateways log in by token, and send each other messages", async () => {
  const chat = await Chat.start();
  const [scott, bob] = [new User("scott"), new User("bob")];
  const [byScott, byBob] = [await scott.logIn(chat.tcp), await bob.logIn(chat.ws)];
  await send(byScott, "bob", "how are you?");
  await send(byBob, "scott", "well, thank you 😀");
  await eventually("both messages", () => scott.got.length + bob.got.length === 2);
  assert.deepEqual(bob.got, ["scott: how are you?"]);
  assert.deepEqual(scott.got, ["bob: well, thank you 😀"]);
  await assert.rejects(byScott.sendMessage("ann", "x"), {
    code: ErrorCode.RemoteException,
    text: "ann is not online",
  });
  await Promise.all([scott.logOut(), bob.logOut()]);
  await chat.stop();
});

const ANY_PORTS = { tcp: "0", ws: "0" };
const SECRET = "the secret by which the tests sign tokens";

/** A token of a user; those of two numbers differ. */
function jwt(user: string, number: number): string {
  const claims = { sub: user, exp: Math.floor(Date.now() / 1000) + 3600, jti: String(number) };
  const signed = [{ alg: "HS256", typ: "JWT" }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

test("a login is refreshed before it ends", async () => {
  const chat = await Chat.start(ANY_PORTS, { login_time: "3", auth_jwt_secret: SECRET });
  let asked = 0;
  const token = (): string => {
    asked += 1;
    return jwt("scott", asked);
  };
  const communicator = new Communicator({ token });
  const connection = await communicator.connect(chat.ws);
  const states: string[] = [];
  connection.onState((state) => states.push(state));
  const server = new IMessageServerPrx(connection);
  await server.login();
  const other = new Communicator({ token: jwt("ann", 0), log: () => undefined });
  const expiring = await other.connect(chat.tcp);
  await new IMessageServerPrx(expiring).login();
  await eventually("the end of the other login", () => expiring.state === "connecting");
  assert.equal(expiring.closeCode, CloseCode.LoginExpired);
  await eventually("three refreshes", () => asked >= 4);
  await server.login();
  assert.deepEqual(states, []);
  await communicator.shutdown();
  await other.shutdown();
  await chat.stop();
});

test("two devices of a user do not evict each other without an end", async () => {
  const chat = await Chat.start();
  for (const endpoint of [chat.tcp, chat.ws]) {
    const [first, second] = [new User("scott"), new User("scott")];
    const byFirst = await first.logIn(endpoint);
    const bySecond = await second.logIn(endpoint);
    await eventually("the end of the first", () => first.connection?.state === "closed");
    for (let i = 0; i < 20; i++) {
      const expected = { closeCode: CloseCode.Replaced, canRetry: false };
      await assert.rejects(byFirst.login(), expected);
      await bySecond.login();
    }
    await first.logOut();
    await second.logOut();
  }
  await chat.stop();
});

test("no message is missed or repeated over lost connections", async () => {
  const chat = await Chat.start(ANY_PORTS, { resume_time: "30" });
  const sender = new User("bob");
  for (const endpoint of [chat.tcp, chat.ws]) {
    const server = await sender.logIn(endpoint);
    const proxy = await Cable.to(endpoint);
    const receiver = new User("scott", { resume: true });
    await receiver.logIn(proxy.endpoint);
    const recovered: boolean[] = [];
    receiver.connection?.onResumed((it) => recovered.push(it));
    const texts = Array.from({ length: 100 }, (_, i) => String(i));
    for (const [i, text] of texts.entries()) {
      if (i % 20 === 10) {
        proxy.cut();
      }
      await send(server, "scott", text);
    }
    await eventually("the messages", () => receiver.got.length >= texts.length);
    await eventually("the logins", () => recovered.length === 5);
    assert.deepEqual(receiver.got, texts.map((text) => `bob: ${text}`));
    assert.deepEqual(recovered, [true, true, true, true, true]);
    await receiver.logOut();
    await proxy.close();
  }
  await sender.logOut();
  await chat.stop();
});

const USERS = 50;

test("fifty clients are back with login and servants after their gateway is killed", async () => {
  let chat = await Chat.start();
  const users = Array.from({ length: USERS }, (_, i) => new User(`user${String(i)}`));
  const servers = await Promise.all(users.map((user) => user.logIn(chat.ws)));
  chat = await chat.restart();
  const began = Date.now();
  const isBack = ({ connection }: User): boolean => connection?.state === "open";
  await eventually("all are back", () => users.every(isBack));
  // Each sends to the next one: it has to have logged in again by itself.
  const sent = servers.map((server, i) => send(server, `user${String((i + 1) % USERS)}`, "hello"));
  await Promise.all(sent);
  await eventually("all messages", () => users.every((user) => user.got.length > 0));
  const seconds = (Date.now() - began) / 1000;
  assert.ok(seconds < 10, `${String(seconds)} s`);
  users.forEach((user, i) => {
    assert.deepEqual(user.got, [`user${String((i + USERS - 1) % USERS)}: hello`]);
  });
  await Promise.all(users.map((user) => user.logOut()));
  await chat.stop();
});
