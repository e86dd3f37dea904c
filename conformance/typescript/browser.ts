/**
 * The testee in headless Chromium: passes the commands on its standard input to a page.
 *
 * Its argument is the page's script.
 */

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

import type { testee as Testee } from "./page.js";
import type { Command } from "./testee.js";

declare const testee: typeof Testee;

const script = process.argv[2] ?? "";

// Calls over ws:// need a page of http://.
const server = createServer((request, response) => {
  const isScript = request.url === "/page.js";
  response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
  response.end(
    isScript ? readFileSync(script) : '<script type="module" src="/page.js"></script>',
  );
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as AddressInfo;

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // The servers' certificate is a new one, which no authority has signed.
    "--ignore-certificate-errors",
  ],
});
const page = await browser.newPage();
page.on("console", (message) => {
  console.error(message.text());
});
await page.goto(`http://127.0.0.1:${String(port)}/`);
await page.waitForFunction(() => "testee" in globalThis);

for await (const line of createInterface(process.stdin)) {
  // As text both ways: values would lose -0 and NaN otherwise.
  const answer = await page.evaluate(
    async (line) => JSON.stringify(await testee.answer(JSON.parse(line) as Command)),
    line,
  );
  process.stdout.write(`${answer}\n`);
}
await browser.close();
process.exit(0);
