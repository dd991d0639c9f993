// Runs the cases whose names begin with one of the arguments, or all, against the members at
// `PEER_PORTS` of the cluster `PEER_CLUSTER`. Prints the name and the outcome of each.

import hazelcast from "hazelcast-client";
import { CASES, Case, config, sleep } from "./case.mjs";
import "./maps.mjs";
import "./queries.mjs";
import "./collections.mjs";
import "./shared.mjs";

// Cases that run at the same time.
const PARALLEL = 4;
// From the start of a case to its end, in milliseconds.
const CASE_MS_MAX = 60_000;

const wanted = process.argv.slice(2);
const chosen = [...CASES].filter(
  ([name]) => wanted.length === 0 || wanted.some((beginning) => name.startsWith(beginning)),
);
const client = await hazelcast.Client.newHazelcastClient(config());
process.on("unhandledRejection", () => {});

async function run([name, body]) {
  const it = new Case(name, client);
  let isDone = false;
  const whole = Promise.resolve(body(it)).catch((error) => {
    it.note("ended");
    it.note(error);
  });
  await Promise.race([whole.then(() => (isDone = true)), sleep(CASE_MS_MAX)]);
  if (!isDone) it.note("did not end");
  const line = `${name}\t${it.outcome()}\n`;
  if (isDone) await it.close();
  process.stdout.write(line);
}

async function work() {
  while (chosen.length > 0) await run(chosen.shift());
}

await Promise.all(Array.from({ length: PARALLEL }, work));
process.stdout.write("done\t\n", () => process.exit(0));
