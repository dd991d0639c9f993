// node-redis during a rolling restart: `rolling_restart.mjs HOST PORT`. Reads and writes
// until a line arrives on standard input; each error of a command is one of the program.

import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { createClient } from "redis";

const TASKS = 4;
/** Pause of a task between two rounds, in milliseconds. */
const PAUSE = 2;

const [host, port] = process.argv.slice(2);
const client = createClient({ socket: { host, port: Number(port) } });
client.on("error", () => {});
await client.connect();
const errors = [];
let isStopped = false;
let rounds = 0;

async function work(number) {
  const key = `rolling:${number}`;
  for (let round = 1; !isStopped; round++) {
    rounds++;
    try {
      await client.set(key, String(round));
      const value = await client.get(key);
      if (value !== String(round)) errors.push(`${key} is ${value} instead of ${round}`);
    } catch (error) {
      errors.push(String(error));
    }
    await pause(PAUSE);
  }
}

const tasks = Array.from({ length: TASKS }, (_, number) => work(number));
while (rounds < 100 * TASKS) await pause(PAUSE);
console.log("READY");
await once(process.stdin, "data");
isStopped = true;
await Promise.all(tasks);
if (errors.length > 0) {
  console.error(`${errors.length} errors in ${rounds} rounds, the first: ${errors[0]}`);
  process.exit(1);
}
console.log(`node-redis: ${rounds} checks passed`);
process.exit(0);
