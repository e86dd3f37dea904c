/** The client: calls the server, which calls it back. */

import { Communicator } from "tce/node";

import { GreeterPrx, serveListener } from "./gen/{{module}}.js";

const endpoint = process.argv[2] ?? "tcp://localhost:12002";
const communicator = new Communicator();
const connection = await communicator.connect(endpoint);
// The server calls back on the same connection.
connection.serve(
  serveListener({
    greeted: (name) => {
      console.log(`${name} was greeted`);
    },
  }),
);
const greeter = new GreeterPrx(connection);
await greeter.listen();
console.log(await greeter.greet("Ann"));
await communicator.shutdown();
