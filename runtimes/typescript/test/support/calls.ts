/** Calls of a client whose server is the test's own, and calls that fail. */

import assert from "node:assert/strict";

import { Communicator, RpcError, type Connection, type NodeOptions } from "tce/node";

import { RawServer } from "./peer.js";

/** Options without a log. */
export const quiet: NodeOptions = { log: () => undefined };

/** A connection to a server that is the test's own. */
export async function withRawServer(
  options: NodeOptions,
  use: (connection: Connection, server: RawServer) => Promise<void>,
): Promise<void> {
  const server = await RawServer.listen();
  const communicator = new Communicator({ ...quiet, ...options });
  const connection = await communicator.connect(server.endpoint);
  try {
    await use(connection, server);
  } finally {
    await server.close();
    await communicator.shutdown(100);
  }
}

/** The error of a call that fails. */
export async function failed(call: Promise<unknown>): Promise<RpcError> {
  const error = await call.then(
    () => assert.fail("the call succeeds"),
    (error: unknown) => error,
  );
  assert.ok(error instanceof RpcError, String(error));
  return error;
}
