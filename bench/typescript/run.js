// Measures all peers in one run, and prints calls a second and ratios:
//   node run.js [--rounds N] [--time MILLISECONDS]

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import { PEERS } from "./peers.js";

const IN_FLIGHT = [1, 64];
const BASES = ["grpc-js", "Connect, its protocol"];

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    time: { type: "string", default: "2000" },
  },
});

function start(...args) {
  const program = join(import.meta.dirname, "process.js");
  return spawn(process.execPath, [program, ...args], { stdio: ["pipe", "pipe", "inherit"] });
}

async function line(child) {
  for await (const text of createInterface(child.stdout)) {
    return text;
  }
  throw new Error("a process has printed nothing");
}

/** Calls a second of one peer. */
async function measured(name, inFlight) {
  const server = start("serve", name);
  const client = start("call", name, await line(server), String(inFlight), values.time);
  const rate = Number(await line(client));
  server.stdin.end();
  await Promise.all([once(server, "exit"), client.exitCode ?? once(client, "exit")]);
  return rate;
}

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Calls a second by peer and number in flight, of each round. The peers take turns. */
const rates = new Map();
for (let round = 0; round < Number(values.rounds); round++) {
  for (const inFlight of IN_FLIGHT) {
    for (const name of Object.keys(PEERS)) {
      const key = `${name} ${inFlight}`;
      rates.set(key, [...(rates.get(key) ?? []), await measured(name, inFlight)]);
    }
  }
}

const heads = ["", ...IN_FLIGHT.flatMap((n) => [`${n} in flight`, ...BASES.map((it) => `÷ ${it}`)])];
console.log(`| ${heads.join(" | ")} |`);
console.log(`|${" --- |".repeat(heads.length)}`);
for (const name of Object.keys(PEERS)) {
  const cells = IN_FLIGHT.flatMap((n) => {
    const rate = median(rates.get(`${name} ${n}`));
    const ratios = BASES.map((base) => (rate / median(rates.get(`${base} ${n}`))).toFixed(2));
    return [Math.round(rate).toLocaleString("en"), ...ratios];
  });
  console.log(`| ${[name, ...cells].join(" | ")} |`);
}
