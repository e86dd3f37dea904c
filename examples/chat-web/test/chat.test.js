// Two pages chat through a gateway, also after it was killed and started again.

import { test } from "node:test";

import { line, logIn, openBrowser, send, startGateways } from "../scripts/scene.js";

test("two users chat, and again when their gateway is back", async () => {
  let gateways = await startGateways();
  const { browser, address, close } = await openBrowser();
  try {
    // A context of its own is another user's browser.
    const [scott, bob] = await Promise.all(
      ["scott", "bob"].map(async (name) => {
        const page = await (await browser.newContext()).newPage();
        await page.goto(address);
        await logIn(page, name, gateways.endpoint);
        return page;
      }),
    );
    await line(scott, "bob is online");
    await send(scott, "bob", "how are you? 😀");
    await line(bob, "scott: how are you? 😀");
    await send(bob, "scott", "<b>well</b>, thank you");
    await line(scott, "bob: <b>well</b>, thank you");

    const { port } = new URL(gateways.endpoint);
    await gateways.stop();
    await scott.locator('#state[data-state="connecting"]').waitFor();
    gateways = await startGateways(port);
    for (const page of [scott, bob]) {
      await page.locator('#state[data-state="open"]').waitFor();
    }
    // Both pages have logged in again by themselves.
    await send(bob, "scott", "are you back?");
    await line(scott, "bob: are you back?");

    await bob.close();
    await line(scott, "bob is offline");
  } finally {
    await close();
    await gateways.stop();
  }
});

test("a gateway that is away is reported on the login form", async () => {
  const { browser, address, close } = await openBrowser();
  try {
    const page = await browser.newPage();
    await page.goto(address);
    await page.getByLabel("Your name").fill("scott");
    await page.getByLabel("Gateway").fill("ws://localhost:1/");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByText("check the address, and that a TCE server listens there").waitFor();
  } finally {
    await close();
  }
});
