/** The client in Chromium: against an adapter of this runtime, and a gateway in Rust. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Communicator } from "tce/node";

import { serveKeeper } from "./gen/zoo.js";
import type { Tests } from "./page/calls.js";
import { Pages } from "./support/browser.js";
import { Chat } from "./support/chat.js";
import { Echo } from "./support/keeper.js";

/** What the page has made. */
declare const tests: Tests;

async function withAdapter(use: (pages: Pages, endpoint: string) => Promise<void>): Promise<void> {
  const communicator = new Communicator();
  const adapter = await communicator.listen("ws://127.0.0.1:0");
  adapter.serve(serveKeeper(new Echo()));
  const pages = await Pages.of("calls");
  try {
    await use(pages, adapter.endpoint);
  } finally {
    await pages.close();
    await communicator.shutdown(1000);
  }
}

test("a page calls with every type, and is called back", () =>
  withAdapter(async (pages, endpoint) => {
    const page = await pages.open();
    await page.evaluate((endpoint) => tests.everyType(endpoint), endpoint);
  }));

test("a full send buffer is an error to the page, not memory", () =>
  withAdapter(async (pages, endpoint) => {
    const page = await pages.open();
    const { codes, buffered } = await page.evaluate((endpoint) => tests.flood(endpoint), endpoint);
    assert.ok(codes.includes(0) && codes.includes(1), codes.join());
    assert.ok(buffered < 2 << 20, String(buffered));
  }));

test("an address where no server listens is an error", () =>
  withAdapter(async (pages) => {
    const page = await pages.open();
    const code = await page.evaluate(() => tests.unreachable("ws://127.0.0.1:1/"));
    assert.equal(code, 102);
  }));

test("two pages log in at a gateway, and again when it was killed", async () => {
  let chat = await Chat.start();
  const pages = await Pages.of("calls");
  try {
    const [scott, bob] = [await pages.open(), await pages.open()];
    await scott.evaluate((endpoint) => tests.logIn(endpoint, "scott"), chat.ws);
    await bob.evaluate((endpoint) => tests.logIn(endpoint, "bob"), chat.ws);
    await scott.evaluate(() => tests.send("bob", "how are you? 😀"));
    await bob.waitForFunction(() => tests.got.length === 1);
    assert.deepEqual(await bob.evaluate(() => tests.got), ["scott: how are you? 😀"]);

    chat = await chat.restart();
    for (const page of [scott, bob]) {
      await page.waitForFunction(() => tests.states.at(-1) === "open");
      assert.deepEqual((await page.evaluate(() => tests.states))[0], "connecting");
    }
    // Bob's page makes no call: it has logged in again by itself.
    await scott.evaluate(() => tests.send("bob", "are you there?"));
    await bob.waitForFunction(() => tests.got.length === 2);
    assert.equal((await bob.evaluate(() => tests.got))[1], "scott: are you there?");
  } finally {
    await pages.close();
    await chat.stop();
  }
});

test("a page notices that its gateway is silent, as after a sleep", async () => {
  const chat = await Chat.start();
  const pages = await Pages.of("calls");
  try {
    const page = await pages.open();
    await page.evaluate((endpoint) => tests.logIn(endpoint, "scott"), chat.ws);
    // Long enough for the page to know that this gateway answers pings.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    assert.deepEqual(await page.evaluate(() => tests.states), []);
    chat.signal("SIGSTOP");
    await page.waitForFunction(() => tests.states[0] === "connecting");
    chat.signal("SIGCONT");
    await page.waitForFunction(() => tests.states.at(-1) === "open");
  } finally {
    await pages.close();
    await chat.stop();
  }
});
