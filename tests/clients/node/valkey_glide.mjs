// valkey-glide: commands, a batch and a script.

import glide from "@valkey/valkey-glide";
import * as job from "./job.mjs";

const { Batch, ClusterBatch, GlideClient, GlideClusterClient, Script } = glide;
const addresses = job.PORTS.map((port) => ({ host: job.HOST, port }));
const isCluster = job.MODE === "cluster";
const kind = isCluster ? GlideClusterClient : GlideClient;
const client = await kind.createClient({ addresses, requestTimeout: 2_000 });
const add = new Script("return redis.call('incrby', KEYS[1], ARGV[1])");
const acknowledged = new Map();

async function step(n) {
  await client.set(`key:${n}`, `${n}`);
  acknowledged.set(`key:${n}`, `${n}`);
  job.check((await client.get(`key:${n}`)) === `${n}`, "GET returns what was set");
  const batch = isCluster ? new ClusterBatch(true) : new Batch(true);
  batch.hset(`{${n}}h`, { n: `${n}` }).hget(`{${n}}h`, "n");
  const replies = await client.exec(batch, true);
  job.check(replies[1] === `${n}`, `a batch returned ${replies}`);
  await client.invokeScript(add, { keys: [`{${n}}sum`], args: [`${n}`] });
}

async function verify() {
  for (const [key, value] of acknowledged) {
    const got = await client.get(key);
    job.check(got === value, `${key} is ${got}, not ${value}`);
  }
}

await job.run(step, verify);
