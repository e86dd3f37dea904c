/** A gateway is killed under fifty pages of Chromium and fifty clients in Python. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import type { Page } from "playwright-core";

import type { Tests } from "./page/calls.js";
import { Pages } from "./support/browser.js";
import { Chat } from "./support/chat.js";
import { eventually } from "./support/eventually.js";
import { Program, ROOT, target } from "./support/programs.js";

const USERS = 50;
/** Pages that open at once. */
const BATCH = 10;

/** What the page has made. */
declare const tests: Tests;

/** The users in Python, over tcp: the standard library suffices for them. */
class PythonUsers {
  readonly #program: Program;
  readonly #folder: string;

  private constructor(program: Program, folder: string) {
    this.#program = program;
    this.#folder = folder;
  }

  static async logIn(endpoint: string): Promise<PythonUsers> {
    const folder = mkdtempSync(join(tmpdir(), "tce-"));
    const idl = join(ROOT, "examples/sendmessage/idl/sendmessage.idl");
    const out = join(folder, "gen");
    execFileSync(join(target(), "tce"), ["compile", "-i", idl, "-o", out, "--lang", "python"]);
    const script = join(ROOT, "runtimes/typescript/test/support/python_users.py");
    const path = `${join(ROOT, "runtimes/python/src")}:${folder}`;
    const args = [`PYTHONPATH=${path}`, "python3", script, endpoint, String(USERS)];
    const program = new Program("/usr/bin/env", args);
    await program.line(/^ready/);
    return new PythonUsers(program, folder);
  }

  /** Makes them do something, and returns the answer. */
  async ask(command: string): Promise<unknown> {
    this.#program.lines.length = 0;
    this.#program.write(command);
    return JSON.parse(await this.#program.line(new RegExp(`^${command} (.*)`))) as unknown;
  }

  async stop(): Promise<void> {
    await this.#program.stop();
    rmSync(this.#folder, { recursive: true });
  }
}

/** Opens pages whose users `page0` and so on are logged in. */
async function logInPages(pages: Pages, endpoint: string): Promise<Page[]> {
  const opened: Page[] = [];
  while (opened.length < USERS) {
    const batch = await Promise.all(Array.from({ length: BATCH }, () => pages.open()));
    opened.push(...batch);
  }
  await each(opened, (page, i) =>
    page.evaluate(({ endpoint, user }) => tests.logIn(endpoint, user), {
      endpoint,
      user: `page${String(i)}`,
    }),
  );
  return opened;
}

function each<T>(pages: Page[], act: (page: Page, number: number) => Promise<T>): Promise<T[]> {
  return Promise.all(pages.map(act));
}

/** What every user has got, `page0` first, then `python0`. */
async function got(pages: Page[], python: PythonUsers): Promise<string[][]> {
  const byPages = await each(pages, (page) => page.evaluate(() => tests.got));
  return [...byPages, ...((await python.ask("got")) as string[][])];
}

/** Pages send to the next user in Python, and users in Python to their page. */
function receiver(number: number): string {
  return `python${String((number + 1) % USERS)}`;
}

async function sendToAll(pages: Page[], python: PythonUsers): Promise<void> {
  const send = (page: Page, i: number): Promise<void> =>
    page.evaluate((to) => tests.send(to, "hello"), receiver(i));
  await Promise.all([each(pages, send), python.ask("send")]);
}

const COUNT = { length: USERS };
const EXPECTED = [
  ...Array.from(COUNT, (_, i) => `python${String(i)}: hello`),
  ...Array.from(COUNT, (_, i) => `page${String((i + USERS - 1) % USERS)}: hello`),
];

test("pages and clients in Python are back with logins and servants after a kill", async () => {
  let chat = await Chat.start();
  const browser = await Pages.of("calls");
  const python = await PythonUsers.logIn(chat.tcp);
  try {
    const pages = await logInPages(browser, chat.ws);
    // They chat while the gateway dies, so that calls and pushes are in flight.
    await Promise.all([
      each(pages, (page, i) => page.evaluate((to) => { tests.chatter(to); }, receiver(i))),
      python.ask("chatter"),
    ]);
    await eventually("all chat", async () =>
      (await got(pages, python)).every((texts) => texts.length > 0),
    );
    chat = await chat.restart();
    const began = Date.now();
    await eventually("all are back", async () => {
      const states = await each(pages, (page) => page.evaluate(() => tests.states.at(-1)));
      return states.every((state) => state === "open") && (await python.ask("connected")) === USERS;
    });
    await sendToAll(pages, python);
    const seconds = (Date.now() - began) / 1000;
    assert.ok(seconds < 10, `${String(seconds)} s`);

    await Promise.all([
      each(pages, (page) => page.evaluate(() => tests.quiet())),
      python.ask("quiet"),
    ]);
    await eventually("all messages", async () =>
      (await got(pages, python)).every((texts, i) => texts.includes(EXPECTED[i] ?? "")),
    );
    for (const texts of await got(pages, python)) {
      // The texts of a sender differ: a second one is a push that was handled twice.
      assert.deepEqual(texts, [...new Set(texts)]);
    }
  } finally {
    await browser.close();
    await python.stop();
    await chat.stop();
  }
});
