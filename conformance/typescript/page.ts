/** The testee in a page: `browser.ts` calls it. */

import { Communicator } from "tce";

import { Testee } from "./testee.js";

export const testee = new Testee({
  open: (options) => new Communicator(options),
  listen: () => Promise.reject(new Error("a page serves no endpoint")),
});

Object.assign(globalThis, { testee });
