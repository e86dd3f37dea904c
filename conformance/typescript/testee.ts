/**
 * The testee for TypeScript, as Node and browsers have it in common: it carries out commands.
 *
 * `src/protocol.rs` describes the commands; README.md how values are written.
 */

import { Fault, ping, RpcError, toCaller } from "tce";
import type { Communicator, Connection } from "tce";
import type { Context, Extra, Servant } from "tce";

import { Gone, Hidden, NotFound, ProbePrx, serveProbe } from "./gen/conformance.js";
import type { Probe, Tree } from "./gen/conformance.js";
import { NewerPrx, UnservedPrx } from "./gen/later.js";
import { serveServer, ServerPrx, type Server } from "./gen/test.js";
import { KeeperPrx, serveKeeper, type Family, type Keeper } from "./gen/zoo.js";

/** In the extra of a call of `Keeper`: the servant returns what the caller's own one returns. */
const CALL_BACK = "call-back";
const REMOTE_EXCEPTION = 8;
/** More bytes than this are written as one unit and its number, if they repeat it. */
const LONG = 1024;
const UNIT = 4;
/** How long calls in flight may take when a connection is closed. */
const CLOSE_TIME_MS = 1000;

const PROXIES = {
  Probe: ProbePrx,
  Keeper: KeeperPrx,
  Server: ServerPrx,
  Newer: NewerPrx,
  Unserved: UnservedPrx,
};

type Tagged = Readonly<Record<string, unknown>>;

/** A value of the protocol as generated code expects it. */
function read(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(read);
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  const tagged = value as Tagged;
  if ("long" in tagged) {
    return BigInt(String(tagged["long"]));
  }
  if ("double" in tagged) {
    return Number(tagged["double"]);
  }
  if ("bytes" in tagged) {
    const hex = String(tagged["bytes"]);
    const unit = Array.from({ length: hex.length / 2 }, (_, i) =>
      parseInt(hex.slice(2 * i, 2 * i + 2), 16),
    );
    const times = Number(tagged["times"] ?? 1);
    const bytes = new Uint8Array(unit.length * times);
    for (let i = 0; i < times; i++) {
      bytes.set(unit, i * unit.length);
    }
    return bytes;
  }
  if ("levels" in tagged) {
    return grown(Number(tagged["levels"]));
  }
  if ("map" in tagged) {
    const pairs = tagged["map"] as [unknown, unknown][];
    return new Map(pairs.map(([key, element]) => [read(key), read(element)]));
  }
  return Object.fromEntries(Object.entries(tagged).map(([name, member]) => [name, read(member)]));
}

/** A tree of this many levels. */
function grown(levels: number): Tree {
  let tree: Tree = { branches: [] };
  for (let level = 1; level < levels; level++) {
    tree = { branches: [tree] };
  }
  return tree;
}

function levelsOf(tree: Tree): number {
  let levels = 1;
  for (let below = tree.branches[0]; below !== undefined; below = below.branches[0]) {
    levels += 1;
  }
  return levels;
}

function writeBytes(value: Uint8Array): unknown {
  const hex = (bytes: Uint8Array): string =>
    Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const isRepeated = value.length % UNIT === 0 && value.every((it, i) => it === value[i % UNIT]);
  return value.length > LONG && isRepeated
    ? { bytes: hex(value.subarray(0, UNIT)), times: value.length / UNIT }
    : { bytes: hex(value) };
}

function writeNumber(value: number): unknown {
  return Number.isFinite(value) && !Object.is(value, -0)
    ? value
    : { double: Object.is(value, -0) ? "-0" : String(value) };
}

/** A value of generated code as a value of the protocol. */
function write(value: unknown): unknown {
  switch (typeof value) {
    case "number":
      return writeNumber(value);
    case "bigint":
      return { long: String(value) };
    case "undefined":
      return null;
    case "object":
      break;
    default:
      return value;
  }
  if (value instanceof Uint8Array) {
    return writeBytes(value);
  }
  if (value instanceof Map) {
    const pairs = [...(value as Map<unknown, unknown>)];
    return { map: pairs.map(([key, element]) => [write(key), write(element)]) };
  }
  if (Array.isArray(value)) {
    return value.map(write);
  }
  if (value !== null && "branches" in value) {
    return { levels: levelsOf(value as Tree) };
  }
  return Object.fromEntries(Object.entries(value ?? {}).map(([name, it]) => [name, write(it)]));
}

/** The pairs that the wire format does not reserve. */
function ownPairs(extra: Extra | undefined): [string, string][] {
  return [...(extra ?? [])].filter(([key]) => !key.startsWith("__"));
}

/** Awaits a call back, whose failure the caller is told. */
async function told<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw error instanceof RpcError ? new Fault(REMOTE_EXCEPTION, error.message) : error;
  }
}

function exceptionOf(error: RpcError): unknown {
  if (error instanceof NotFound) {
    const members = { code: error.code_, key: error.key, nearest: write(error.nearest) };
    return { name: error.name, members };
  }
  if (error instanceof Gone) {
    return { name: error.name, members: {} };
  }
  return null;
}

/** The servants, which record each call that they serve. */
class Servants {
  received: unknown[] = [];

  get conformance(): Servant[] {
    return [serveProbe(this.#probe), serveKeeper(this.#keeper)];
  }

  get test(): Servant[] {
    return [serveServer(this.#server)];
  }

  #record(operation: string, ctx: Context, ...args: unknown[]): void {
    const extra = ownPairs(ctx.extra);
    this.received.push({ operation, args: args.map(write), extra, isOneway: ctx.isOneway });
  }

  readonly #probe: Probe = {
    echo: (text, ctx) => {
      this.#record("Probe.echo", ctx, text);
      ctx.returnExtra("answer", "42");
      ctx.returnExtra("again", "43");
      return text;
    },
    note: (number, ctx) => {
      this.#record("Probe.note", ctx, number);
    },
    fail: (code, text, ctx) => {
      this.#record("Probe.fail", ctx, code, text);
      throw new Fault(code, text);
    },
    bug: (secret, ctx) => {
      this.#record("Probe.bug", ctx, secret);
      throw new Error(secret);
    },
    late: async (milliseconds, text, ctx) => {
      this.#record("Probe.late", ctx, milliseconds, text);
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      return text;
    },
    callBack: (text, ctx) => {
      this.#record("Probe.callBack", ctx, text);
      return told(new ProbePrx(ctx.connection, toCaller(ctx)).echo(text));
    },
    push: (number, ctx) => {
      this.#record("Probe.push", ctx, number);
      new ProbePrx(ctx.connection, toCaller(ctx)).noteOneway(number);
    },
    descend: async (depth, ctx) => {
      this.#record("Probe.descend", ctx, depth);
      const caller = new ProbePrx(ctx.connection, toCaller(ctx));
      return depth === 0 ? 0 : (await told(caller.descend(depth - 1))) + 1;
    },
    grow: (levels, ctx) => {
      this.#record("Probe.grow", ctx, levels);
      return grown(levels);
    },
    tree: (value, ctx) => {
      this.#record("Probe.tree", ctx, value);
      return value;
    },
    large: (size, ctx) => {
      this.#record("Probe.large", ctx, size);
      return "x".repeat(size);
    },
    paint: (value, ctx) => {
      this.#record("Probe.paint", ctx, value);
      return value;
    },
    shade: (value, ctx) => {
      this.#record("Probe.shade", ctx, value);
      return value;
    },
    lose: (code, key, nearest, ctx) => {
      this.#record("Probe.lose", ctx, code, key, nearest);
      throw key === "" ? new Gone() : new NotFound(code, key, nearest);
    },
    hide: (why, ctx) => {
      this.#record("Probe.hide", ctx, why);
      throw new Hidden(why);
    },
  };

  /** Returns a parameter, or what the caller's own operation returns. */
  #echo<T>(operation: string, value: T, ctx: Context, call: (to: KeeperPrx) => Promise<T>): T | Promise<T> {
    this.#record(`Keeper.${operation}`, ctx, value);
    const caller = new KeeperPrx(ctx.connection, toCaller(ctx));
    return ctx.extra.has(CALL_BACK) ? told(call(caller)) : value;
  }

  readonly #keeper: Keeper = {
    roundtrip: (fam: Family, ctx) => this.#echo("roundtrip", fam, ctx, (to) => to.roundtrip(fam)),
    table: (t, ctx) => this.#echo("table", t, ctx, (to) => to.table(t)),
    blob: (data, ctx) => this.#echo("blob", data, ctx, (to) => to.blob(data)),
    counts: (c, ctx) => this.#echo("counts", c, ctx, (to) => to.counts(c)),
    names: (c, ctx) => this.#echo("names", c, ctx, (to) => to.names(c)),
    many: async (b, flag, s, i, l, flt, dbl, text, ctx) => {
      this.#record("Keeper.many", ctx, b, flag, s, i, l, flt, dbl, text);
      if (ctx.extra.has(CALL_BACK)) {
        const caller = new KeeperPrx(ctx.connection, toCaller(ctx));
        await told(caller.many(b, flag, s, i, l, flt, dbl, text));
      }
    },
    big: (v, ctx) => this.#echo("big", v, ctx, (to) => to.big(v)),
    real: (v, ctx) => this.#echo("real", v, ctx, (to) => to.real(v)),
    truth: (v, ctx) => this.#echo("truth", v, ctx, (to) => to.truth(v)),
  };

  readonly #server: Server = {
    datetime: (ctx) => {
      this.#record("Server.datetime", ctx);
      return "today";
    },
    echo: (text, ctx) => {
      this.#record("Server.echo", ctx, text);
      return text;
    },
    timeout: (secs, ctx) => {
      this.#record("Server.timeout", ctx, secs);
    },
    heartbeat: (hello, ctx) => {
      this.#record("Server.heartbeat", ctx, hello);
    },
    bidirection: (ctx) => {
      this.#record("Server.bidirection", ctx);
    },
  };
}

/** The options of a communicator; certificates are files. */
export interface Options {
  readonly token?: string;
  readonly deviceId?: string;
  readonly resume?: boolean;
  readonly certificate?: string;
  readonly key?: string;
  readonly authority?: string;
}

/** What a command has, by the name of its field. */
export type Command = { readonly do: string } & Readonly<Record<string, unknown>>;

/** What Node and browsers do differently. */
export interface Platform {
  /** A communicator with these options. */
  open(options: Options): Communicator;
  /** Serves at an endpoint, and returns it with its port. */
  listen(endpoint: string, options: Options, servants: readonly Servant[]): Promise<string>;
}

type Method = (...args: unknown[]) => Promise<unknown>;

interface Started {
  readonly outcome: Promise<unknown>;
  abandon(): void;
}

/** Carries out commands, one after another. */
export class Testee {
  readonly #platform: Platform;
  readonly #servants = new Servants();
  readonly #started = new Map<string, Started>();
  #communicator: Communicator | undefined;
  #connection: Connection | undefined;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  /** The answer to a command, which never rejects. */
  async answer(command: Command): Promise<unknown> {
    try {
      return { ok: (await this.#carryOut(command)) ?? null };
    } catch (error) {
      return { failed: String(error) };
    }
  }

  async #carryOut(command: Command): Promise<unknown> {
    const options = command["options"] as Options;
    switch (command.do) {
      case "listen": {
        const servants =
          command["serve"] === "test" ? this.#servants.test : this.#servants.conformance;
        return this.#platform.listen(String(command["endpoint"]), options, servants);
      }
      case "connect": {
        this.#communicator = this.#platform.open(options);
        this.#connection = await this.#communicator.connect(String(command["endpoint"]));
        for (const servant of this.#servants.conformance) {
          this.#connection.serve(servant);
        }
        return null;
      }
      case "call":
        return this.#call(command);
      case "finish":
        return this.#take(command).outcome;
      case "abandon": {
        this.#take(command).abandon();
        return null;
      }
      case "received":
        return this.#servants.received;
      case "forget": {
        this.#servants.received = [];
        return null;
      }
      case "close": {
        this.#started.clear();
        await this.#communicator?.shutdown(CLOSE_TIME_MS);
        return null;
      }
      default:
        throw new Error(`there is no command ${command.do}`);
    }
  }

  #take(command: Command): Started {
    const handle = String(command["handle"]);
    const started = this.#started.get(handle);
    if (started === undefined) {
      throw new Error(`no call was started as ${handle}`);
    }
    this.#started.delete(handle);
    return started;
  }

  async #call(command: Command): Promise<unknown> {
    const connection = this.#connection;
    if (connection === undefined) {
      throw new Error("there is no connection");
    }
    const mode = command["mode"] as "twoway" | "oneway" | { start: string };
    const aborted = new AbortController();
    let returned: Extra | undefined;
    const options = {
      ...(command["timeoutMs"] !== undefined && { timeoutMs: Number(command["timeoutMs"]) }),
      extra: command["extra"] as [string, string][],
      signal: aborted.signal,
      onReturn: (extra: Extra) => {
        returned = extra;
      },
    };
    const send = async (): Promise<unknown> => {
      if (command["operation"] === "ping") {
        return ping(connection, options);
      }
      const [name, operation] = String(command["operation"]).split(".");
      const proxy = new PROXIES[name as keyof typeof PROXIES](connection);
      const methods = proxy as unknown as Readonly<Record<string, Method>>;
      const method = methods[mode === "oneway" ? `${String(operation)}Oneway` : String(operation)];
      if (method === undefined) {
        throw new Error(`there is no operation ${String(command["operation"])}`);
      }
      const args = (command["args"] as unknown[]).map(read);
      return method.call(proxy, ...args, options);
    };
    const outcome = send().then(
      (value) => ({ result: { value: write(value), extra: ownPairs(returned) } }),
      (error: unknown) => {
        if (!(error instanceof RpcError)) {
          throw error;
        }
        const { code, side, text, operation = "", canRetry } = error;
        return { error: { code, side, text, operation, canRetry, exception: exceptionOf(error) } };
      },
    );
    if (typeof mode === "string") {
      return outcome;
    }
    // An abandoned call rejects, and is not awaited.
    outcome.catch(() => undefined);
    this.#started.set(mode.start, {
      outcome,
      abandon: () => {
        aborted.abort();
      },
    });
    return null;
  }
}
