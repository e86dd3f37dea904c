/** What `browser.test.ts` calls in a page. */

import { Communicator, ErrorCode, RpcError, type Connection } from "tce";

import { IMessageServerPrx, serveITerminal } from "../gen/sendmessage.js";
import { KeeperPrx, serveKeeper, type Family, type Keeper } from "../gen/zoo.js";
import { CALL_BACK, FAMILY, isSame } from "../support/family.js";

/** Returns each parameter. */
const keeper: Keeper = {
  roundtrip: (fam: Family) => fam,
  table: (t) => t,
  blob: (data) => data,
  counts: (c) => c,
  names: (c) => c,
  many: () => undefined,
  big: (v) => v,
  real: (v) => v,
  truth: (v) => v,
};

function expect(isTrue: boolean, what: string): void {
  if (!isTrue) {
    throw new Error(what);
  }
}

/** Every type, directly and by a call back to this page. */
async function everyType(endpoint: string): Promise<void> {
  const communicator = new Communicator();
  const connection = await communicator.connect(endpoint);
  connection.serve(serveKeeper(keeper));
  const prx = new KeeperPrx(connection);
  for (const extra of [{}, { [CALL_BACK]: "yes" }]) {
    expect(isSame(await prx.roundtrip(FAMILY, { extra }), FAMILY), "a struct");
    const blob = new Uint8Array(1 << 20).map((_, i) => i);
    expect(isSame(await prx.blob(blob, { extra }), blob), "bytes");
    expect(isSame(await prx.table([[1], []], { extra }), [[1], []]), "sequences");
  }
  expect((await prx.big(-(2n ** 63n))) === -(2n ** 63n), "a long");
  const many = await Promise.all(Array.from({ length: 1000 }, (_, i) => prx.big(i)));
  expect(isSame(many, Array.from({ length: 1000 }, (_, i) => BigInt(i))), "many calls");
  await communicator.shutdown();
}

/** The code of the error of a connection to a closed port. */
async function unreachable(endpoint: string): Promise<number> {
  try {
    await new Communicator({ connectTimeMs: 10_000 }).connect(endpoint);
  } catch (error) {
    return error instanceof RpcError ? error.code : -1;
  }
  return 0;
}

/** Calls that exceed the send buffer, and what is buffered then. */
async function flood(endpoint: string): Promise<{ codes: number[]; buffered: number }> {
  const communicator = new Communicator({ sendBuffer: 1 << 20 });
  const connection = await communicator.connect(endpoint);
  const prx = new KeeperPrx(connection);
  const blob = new Uint8Array(256 << 10);
  const calls = Array.from({ length: 50 }, () => prx.blob(blob));
  const buffered = connection.bufferedAmount;
  const ended = await Promise.allSettled(calls);
  const codes = ended.map((it) =>
    it.status === "fulfilled" ? 0 : it.reason instanceof RpcError ? it.reason.code : -1,
  );
  await communicator.shutdown();
  return { codes, buffered };
}

const got: string[] = [];
const states: string[] = [];
let connection: Connection | undefined;

/** Logs in as a user of the example `sendmessage`. */
async function logIn(endpoint: string, user: string): Promise<void> {
  const communicator = new Communicator({ token: () => Promise.resolve(user), pingIntervalMs: 500 });
  connection = await communicator.connect(endpoint);
  connection.onState((state) => states.push(state));
  connection.serve(
    serveITerminal({
      onMessage: (from, text) => void got.push(`${from}: ${text}`),
      onUser: () => undefined,
    }),
  );
  await new IMessageServerPrx(connection).login();
}

/** Sends a message, again while its receiver is not on line or the gateway is away. */
async function send(to: string, text: string): Promise<void> {
  for (let attempts = 0; ; attempts++) {
    try {
      expect(connection !== undefined, "logged in");
      await new IMessageServerPrx(connection as Connection).sendMessage(to, text);
      return;
    } catch (error) {
      if (attempts === 500) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

let isChatting = false;
let chat = Promise.resolve();

/** Sends messages of different texts until `quiet`, each once, whether or not the gateway is there. */
function chatter(to: string): void {
  isChatting = true;
  const sendAll = async (): Promise<void> => {
    for (let number = 0; isChatting; number++) {
      try {
        await new IMessageServerPrx(connection as Connection).sendMessage(to, String(number));
      } catch {
        // Whether it has arrived is unknown: it is not sent again.
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  };
  chat = sendAll();
}

async function quiet(): Promise<void> {
  isChatting = false;
  await chat;
}

const tests = {
  ...{ everyType, unreachable, flood, logIn, send, chatter, quiet, got, states, ErrorCode },
};
Object.assign(globalThis, { tests });
export type Tests = typeof tests;
