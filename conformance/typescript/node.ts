/** The testee in Node: commands on standard input, answers on standard output. */

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

import { Communicator } from "tce/node";

import { Testee, type Command, type Options, type Platform } from "./testee.js";

function open({ certificate, key, authority, ...options }: Options): Communicator {
  return new Communicator({
    ...options,
    tls: {
      ...(authority !== undefined && { ca: readFileSync(authority) }),
      ...(certificate !== undefined && { cert: readFileSync(certificate) }),
      ...(key !== undefined && { key: readFileSync(key) }),
    },
  });
}

const platform: Platform = {
  open,
  listen: async (endpoint, options, servants) => {
    const adapter = await open(options).listen(endpoint);
    for (const servant of servants) {
      adapter.serve(servant);
    }
    return adapter.endpoint;
  },
};

const testee = new Testee(platform);
for await (const line of createInterface(process.stdin)) {
  const answer = await testee.answer(JSON.parse(line) as Command);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
