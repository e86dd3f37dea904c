// One side of a measurement, in a process of its own:
//   node process.js serve PEER
//   node process.js call PEER ENDPOINT IN_FLIGHT MILLISECONDS

import { PEERS } from "./peers.js";

const TEXT = "sixteen bytes ok";

/** Calls for some time, and returns the calls a second. Each answer is checked. */
async function measure(call, inFlight, timeMs) {
  let calls = 0;
  const start = performance.now();
  const end = start + timeMs;
  const caller = async () => {
    while (performance.now() < end) {
      const answer = await call(TEXT);
      if (answer !== TEXT) {
        throw new Error(`the answer is ${answer}`);
      }
      calls += 1;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  return (calls * 1000) / (performance.now() - start);
}

const [role, name, endpoint, inFlight, timeMs] = process.argv.slice(2);
if (role === "serve") {
  console.log(await PEERS[name].serve());
  // The driver ends a server by closing its standard input.
  process.stdin.resume().on("end", () => process.exit());
} else {
  const call = await PEERS[name].connect(endpoint);
  // The compiler of the engine needs some time for its best code.
  await measure(call, Number(inFlight), Number(timeMs) / 2);
  console.log(await measure(call, Number(inFlight), Number(timeMs)));
  process.exit();
}
