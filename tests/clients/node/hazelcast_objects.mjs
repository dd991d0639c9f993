// hazelcast-client for Node.js: maps with listeners and locks, queues, lists, sets, multimaps,
// replicated maps, counters and ids.

import hazelcast from "hazelcast-client";
import * as job from "./job.mjs";

// An invocation is repeated for this long, in milliseconds.
const RETRIES_MS = 20_000;

const client = await hazelcast.Client.newHazelcastClient({
  clusterName: process.env.CONVOKE_CLUSTER,
  network: {
    clusterMembers: job.PORTS.map((port) => `${job.HOST}:${port}`),
    smartRouting: job.MODE !== "one",
    redoOperation: true,
  },
  properties: {
    "hazelcast.client.invocation.timeout.millis": RETRIES_MS,
    "hazelcast.logging.level": "ERROR",
  },
});
const entries = await client.getMap("entries");
const added = new Map();
await entries.addEntryListener({ entryAdded: (event) => added.set(event.key, event.value) }, undefined, true);
const locks = await client.getMap("locks");
const queue = await client.getQueue("queue");
const list = await client.getList("list");
const members = await client.getSet("set");
const multi = await client.getMultiMap("multi");
const replicated = await client.getReplicatedMap("replicated");
const counter = await client.getPNCounter("counter");
const ids = await client.getFlakeIdGenerator("ids");
const acknowledged = new Map();
const seenIds = new Set();

async function step(n) {
  const key = `key-${n}`;
  await entries.set(key, n, 600_000);
  acknowledged.set(key, n);
  job.check((await entries.get(key)) === n, "get returns what was set");
  // An event may be lost with the member that sends it.
  if (n % 10 === 0 && job.MODE === "one") {
    await job.waitFor("event", () => added.get(key) === n);
  }
  const name = `lock-${n % 7}`;
  job.check(await locks.tryLock(name, 10_000, 10_000), "a free lock is refused");
  await locks.unlock(name);
  await queue.offer(n);
  job.check((await queue.poll(5_000)) !== null, "the queue is empty");
  await list.add(n);
  await members.add(n % 10);
  await multi.put(n % 10, n);
  job.check((await multi.get(n % 10)).toArray().includes(n), "the multimap lacks a value");
  await replicated.put(n % 10, n);
  job.check((await replicated.get(n % 10)) === n, "the replicated map lacks a value");
  await counter.addAndGet(1);
  const id = (await ids.newId()).toString();
  job.check(!seenIds.has(id), "an id was handed out twice");
  seenIds.add(id);
}

async function verify() {
  for (const [key, value] of acknowledged) {
    const got = await entries.get(key);
    job.check(got === value, `${key} is ${got}, not ${value}`);
  }
  job.check((await members.size()) === 10, "the set has lost an element");
}

await job.run(step, verify);
