// ioredis and iovalkey: commands, pipelines, transactions and a command defined by a script.

import { createRequire } from "node:module";
import * as job from "./job.mjs";

const { dependencies } = createRequire(import.meta.url)("./package.json");
const library = await import(Object.keys(dependencies)[0]);
const Redis = library.Redis;
const client =
  job.MODE === "cluster"
    ? new Redis.Cluster(job.PORTS.map((port) => ({ host: job.HOST, port })))
    : new Redis({ host: job.HOST, port: job.PORTS[0] });
client.on("error", (error) => console.error(`client: ${error.message}`));
client.defineCommand("add", {
  numberOfKeys: 1,
  lua: "return redis.call('incrby', KEYS[1], ARGV[1])",
});
const acknowledged = new Map();

async function step(n) {
  await client.set(`key:${n}`, n);
  acknowledged.set(`key:${n}`, `${n}`);
  job.check((await client.get(`key:${n}`)) === `${n}`, "GET returns what was set");
  const replies = await client.multi().hset(`{${n}}h`, "n", n).hget(`{${n}}h`, "n").exec();
  job.check(replies[1][1] === `${n}`, `a transaction returned ${replies}`);
  await client.add(`{${n}}sum`, n);
  const pipeline = client.pipeline();
  for (let i = 0; i < 10; i += 1) pipeline.rpush(`{${n}}l`, i);
  for (const [error] of await pipeline.exec()) if (error) throw error;
}

async function verify() {
  for (const [key, value] of acknowledged) {
    const got = await client.get(key);
    job.check(got === value, `${key} is ${got}, not ${value}`);
  }
}

await job.run(step, verify);
