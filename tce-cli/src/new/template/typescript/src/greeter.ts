/** The servant that the server and the tests use. */

import { ErrorCode, Fault, toCaller, type Context } from "tce";

import { ListenerPrx, type Greeter } from "./gen/{{module}}.js";

/** Implements `Greeter`. */
export class GreeterImpl implements Greeter {
  readonly #listeners = new Set<ListenerPrx>();

  greet(name: string): string {
    if (name === "") {
      throw new Fault(ErrorCode.RemoteException, "the name is empty");
    }
    for (const listener of this.#listeners) {
      listener.greetedOneway(name);
    }
    return `Hello, ${name}!`;
  }

  listen(ctx: Context): void {
    const listener = new ListenerPrx(ctx.connection, toCaller(ctx));
    this.#listeners.add(listener);
    ctx.connection.onState((state) => {
      if (state === "closed") {
        this.#listeners.delete(listener);
      }
    });
  }
}
