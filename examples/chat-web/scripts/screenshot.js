// Writes `screenshot.png`: two users who chat, each in a frame.

import { join } from "node:path";

import { line, logIn, openBrowser, send, startGateways } from "./scene.js";

const gateways = await startGateways();
const { browser, address, close } = await openBrowser();
const page = await browser.newPage({ viewport: { width: 840, height: 360 } });
await page.goto(address);
const frame = (name) =>
  `<iframe name="${name}" src="${address}" style="border: 1px solid #bbb; flex: 1"></iframe>`;
await page.setContent(
  `<body style="display: flex; gap: 16px; margin: 12px; height: 336px">${frame("a")}${frame("b")}`,
);
const [scott, bob] = ["a", "b"].map((name) => page.frameLocator(`iframe[name="${name}"]`));
await logIn(scott, "scott", gateways.endpoint);
await logIn(bob, "bob", gateways.endpoint);
await line(scott, "bob is online");
await line(bob, "scott is online");
await send(scott, "bob", "Hi Bob, how are you?");
await line(bob, "scott: Hi Bob, how are you?");
await send(bob, "scott", "Well, thank you!");
await line(scott, "bob: Well, thank you!");
await page.screenshot({ path: join(import.meta.dirname, "../screenshot.png") });
await close();
await gateways.stop();
