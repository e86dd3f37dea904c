/** The page: a user logs in at a gateway, and sends and receives messages. */

import { Communicator, RpcError, type Connection } from "tce";

import { IMessageServerPrx, serveITerminal } from "../gen/sendmessage.js";

/** An element of the page, by its id. */
function element<E extends HTMLElement>(id: string, type: new () => E): E {
  const found = document.getElementById(id);
  if (!(found instanceof type)) {
    throw new Error(`the page has no ${type.name} ${id}`);
  }
  return found;
}

const login = element("login", HTMLFormElement);
const problem = element("problem", HTMLParagraphElement);
const messages = element("messages", HTMLOListElement);
const receivers = element("to", HTMLSelectElement);
const text = element("text", HTMLInputElement);

function show(line: string, kind: "received" | "sent" | "event"): void {
  const item = document.createElement("li");
  item.className = kind;
  item.textContent = line;
  messages.append(item);
  item.scrollIntoView();
}

/** Adds a user to those who can be written to, or removes one. */
function setOnLine(user: string, isOnLine: boolean): void {
  const known = [...receivers.options].find((option) => option.value === user);
  if (isOnLine === (known !== undefined)) {
    return;
  }
  show(`${user} is ${isOnLine ? "online" : "offline"}`, "event");
  if (known === undefined) {
    receivers.append(new Option(user));
  } else {
    known.remove();
  }
}

function describeError(error: unknown): string {
  return error instanceof RpcError ? error.text : String(error);
}

/** Shows whether the connection is open. It comes back by itself, and logs in again. */
function showState(connection: Connection): void {
  const state = element("state", HTMLSpanElement);
  const show = (): void => {
    state.dataset["state"] = connection.state;
    state.textContent = connection.state;
  };
  connection.onState((current) => {
    // Who is online is told again after the next login.
    if (current !== "open") {
      receivers.replaceChildren();
    }
    show();
  });
  show();
}

async function logIn(name: string, gateway: string): Promise<void> {
  // The gateway of the example takes the token for the user's name.
  const communicator = new Communicator({ token: () => name });
  const connection = await communicator.connect(gateway);
  // Before the login, after which the server may call at any time.
  connection.serve(
    serveITerminal({
      onMessage: (from, text) => {
        show(`${from}: ${text}`, "received");
      },
      onUser: setOnLine,
    }),
  );
  const server = new IMessageServerPrx(connection, { timeoutMs: 10_000 });
  try {
    await server.login();
  } catch (error) {
    await connection.close();
    throw error;
  }
  showState(connection);

  element("send", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    const [to, line] = [receivers.value, text.value];
    text.value = "";
    server.sendMessage(to, line).then(
      () => {
        show(`to ${to}: ${line}`, "sent");
      },
      (error: unknown) => {
        show(`not sent to ${to}: ${describeError(error)}`, "event");
      },
    );
  });
}

login.addEventListener("submit", (event) => {
  event.preventDefault();
  problem.textContent = "";
  const name = element("name", HTMLInputElement).value.trim();
  logIn(name, element("gateway", HTMLInputElement).value).then(
    () => {
      login.hidden = true;
      element("chat", HTMLElement).hidden = false;
      element("me", HTMLElement).textContent = name;
      document.title = `Chat: ${name}`;
      text.focus();
    },
    (error: unknown) => {
      problem.textContent = describeError(error);
    },
  );
});
