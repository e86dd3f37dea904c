/** Server and client in one process. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Communicator } from "tce/node";

import { GreeterPrx, serveGreeter } from "../src/gen/{{module}}.js";
import { GreeterImpl } from "../src/greeter.js";

test("greet needs a name", async () => {
  const communicator = new Communicator();
  // Port 0 selects a free port.
  const adapter = await communicator.listen("tcp://127.0.0.1:0");
  adapter.serve(serveGreeter(new GreeterImpl()));
  const greeter = new GreeterPrx(await communicator.connect(adapter.endpoint));

  assert.equal(await greeter.greet("Ann"), "Hello, Ann!");
  await assert.rejects(greeter.greet(""), { text: "the name is empty" });
  await communicator.shutdown();
});
