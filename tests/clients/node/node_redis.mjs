// node-redis: commands, transactions, a script, and messages to a subscriber.

import { createClient, createCluster, defineScript } from "redis";
import * as job from "./job.mjs";

const add = defineScript({
  SCRIPT: "return redis.call('incrby', KEYS[1], ARGV[1])",
  NUMBER_OF_KEYS: 1,
  parseCommand(parser, key, by) {
    parser.pushKey(key);
    parser.push(`${by}`);
  },
  transformReply: (reply) => reply,
});
const url = (port) => `redis://${job.HOST}:${port}`;
const client =
  job.MODE === "cluster"
    ? createCluster({ rootNodes: job.PORTS.map((port) => ({ url: url(port) })), scripts: { add } })
    : createClient({ url: url(job.PORTS[0]), scripts: { add } });
client.on("error", (error) => console.error(`client: ${error.message}`));
await client.connect();
const acknowledged = new Map();

async function step(n) {
  await client.set(`key:${n}`, `${n}`);
  acknowledged.set(`key:${n}`, `${n}`);
  job.check((await client.get(`key:${n}`)) === `${n}`, "GET returns what was set");
  const replies = await client.multi().hSet(`{${n}}h`, "n", `${n}`).hGet(`{${n}}h`, "n").exec();
  job.check(replies[1] === `${n}`, `a transaction returned ${replies}`);
  await client.add(`{${n}}sum`, n);
  await Promise.all([..."abcdef"].map((name) => client.rPush(`${n}:${name}`, "x")));
}

async function verify() {
  for (const [key, value] of acknowledged) {
    const got = await client.get(key);
    job.check(got === value, `${key} is ${got}, not ${value}`);
  }
}

await job.run(step, verify);
