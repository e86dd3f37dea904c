/** The server: runs until Ctrl-C or SIGTERM. */

import { Communicator } from "tce/node";

import { serveGreeter } from "./gen/{{module}}.js";
import { GreeterImpl } from "./greeter.js";

const endpoint = process.argv[2] ?? "tcp://localhost:12002";
const communicator = new Communicator();
const adapter = await communicator.listen(endpoint);
adapter.serve(serveGreeter(new GreeterImpl()));
console.log(`listening on ${adapter.endpoint}`);

// On shutdown, calls in flight have 10 s to end.
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void communicator.shutdown());
}
