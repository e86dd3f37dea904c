/** The testee in a page: `browser.ts` calls it. */

import { Communicator } from "tce";

import { Testee } from "./testee.js";

export const testee = new Testee({
  open: ({ timeoutMs }) => new Communicator(timeoutMs === undefined ? {} : { timeoutMs }),
  listen: () => Promise.reject(new Error("a page serves no endpoint")),
});

Object.assign(globalThis, { testee });
