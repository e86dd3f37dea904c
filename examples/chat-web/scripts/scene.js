// The servant and the gateways of the example sendmessage, the page, and a browser.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

import { serve } from "./serve.js";

const ROOT = join(import.meta.dirname, "../../..");
const CHROMIUM_OPTIONS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts the gateways on these ports; 0 is any. */
export async function startGateways(port = "0") {
  const folder = mkdtempSync(join(tmpdir(), "chat-web-"));
  for (const name of ["services.xml", "config.yml"]) {
    const text = readFileSync(join(ROOT, "examples/sendmessage", name), "utf8");
    writeFileSync(join(folder, name), text.replace("12001", port).replace("12002", "0"));
  }
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
  const child = spawn(join(target, "debug/sendmessage-in-memory"), [], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const stop = async () => {
    const exited = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await exited;
    rmSync(folder, { recursive: true });
  };
  for await (const line of createInterface(child.stdout)) {
    const found = /^listening on (ws:.*)/.exec(line);
    if (found !== null) {
      child.stdout.resume();
      return { endpoint: found[1], stop };
    }
  }
  throw new Error("sendmessage-in-memory has ended: cargo build -p example-sendmessage");
}

/** Serves the page, and starts a browser. */
export async function openBrowser() {
  const page = await serve(0);
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: CHROMIUM_OPTIONS,
  });
  const close = async () => {
    await browser.close();
    page.close();
  };
  return { browser, address: page.address, close };
}

/** Logs a user in on a page, or in a frame of one. */
export async function logIn(page, name, endpoint) {
  await page.getByLabel("Your name").fill(name);
  await page.getByLabel("Gateway").fill(endpoint);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.locator("#me").filter({ hasText: name }).waitFor();
}

/** Sends a message to a user who is online. */
export async function send(page, to, text) {
  await page.getByLabel("To").selectOption(to);
  await page.getByLabel("Message").fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

/** Waits for a line of the conversation. */
export async function line(page, text) {
  await page.locator("#messages li").getByText(text, { exact: true }).waitFor();
}
