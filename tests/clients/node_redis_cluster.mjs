// node-redis as a client of a Redis Cluster; started by `node_redis.mjs --cluster`.

import { createClient, createCluster } from "redis";

import { waitForMemberToEnd } from "./checks.mjs";

const HOST = "127.0.0.1";

/** From the end of a member until all keys can be read again, in milliseconds. */
const SURVIVED_MAX = 10_000;

function connect(ports, RESP) {
  return createCluster({
    rootNodes: ports.map((port) => ({ url: `redis://${HOST}:${port}` })),
    defaults: { RESP },
    RESP,
    // How long a node may be gone before the topology is refreshed; 5 s by default.
    topologyRefreshOnReconnectionAttemptStrategy: 500,
  })
    .on("error", () => {})
    .connect();
}

async function topology(checks, cluster, ports) {
  const leaders = cluster.masters.map((node) => node.port).sort();
  checks.equal("each member owns slots", leaders, [...ports].sort());
  const missing = Array.from(cluster.slots, (slot) => slot?.master).filter((master) => !master);
  checks.equal("no slot is missing", [cluster.slots.length, missing.length], [16_384, 0]);
}

async function manyKeys(checks, cluster, keys) {
  const names = Object.keys(keys);
  const set = await Promise.all(names.map((name) => cluster.set(name, keys[name])));
  checks.equal(
    "1,000 keys are set",
    set.every((answer) => answer === "OK"),
    true,
  );
  const got = await Promise.all(names.map((name) => cluster.get(name)));
  checks.equal("… and read", got, Object.values(keys));
  const held = [];
  for (const node of cluster.masters) held.push(await (await cluster.nodeClient(node)).dbSize());
  checks.holds("no member is without keys", Math.min(...held) > 0, held);
  checks.equal(
    "each key is on one member",
    held.reduce((sum, one) => sum + one),
    names.length,
  );
}

async function severalKeys(checks, cluster, keys) {
  const names = Object.keys(keys).slice(0, 20);
  const values = names.map((name) => keys[name]);
  checks.equal("MGET of several slots is split by slots", await cluster.mGet(names), values);
  checks.equal("EXISTS of several slots", await cluster.exists(names), 20);
  const tagged = Object.fromEntries(names.map((name, n) => [`{user}:${name}`, `${n}`]));
  checks.equal("MSET of one tag", await cluster.mSet(tagged), "OK");
  checks.equal("MGET of one tag", await cluster.mGet(Object.keys(tagged)), Object.values(tagged));
  const counted = await cluster
    .multi()
    .incr(`{user}:${names[0]}`)
    .incr(`{user}:${names[1]}`)
    .exec();
  checks.equal("MULTI of one tag", counted, [1, 2]);
  await cluster.rPush("{user}:list", ["a", "b"]);
  checks.equal(
    "LMOVE within one tag",
    await cluster.lMove("{user}:list", "{user}:other", "LEFT", "RIGHT"),
    "a",
  );
  const crossSlot = "CROSSSLOT Keys in request don't hash to the same slot";
  await checks.refused("SINTER of several slots", crossSlot, cluster.sInter(names));
  const gone = [...Object.keys(tagged), "{user}:list", "{user}:other"];
  checks.equal("DEL of one tag", await cluster.del(gone), 22);
}

/** A client that knows one member only is redirected to the owners of other slots. */
async function oneMember(checks, cluster, ports, keys) {
  const plain = await createClient({ url: `redis://${HOST}:${ports[0]}` })
    .on("error", () => {})
    .connect();
  const answers = await Promise.all(
    Object.keys(keys).map((key) => plain.get(key).catch((error) => error.message)),
  );
  const moved = answers.filter((answer) => /^MOVED \d+ 127\.0\.0\.1:\d+$/.test(answer));
  const own = answers.filter((answer) => answer?.startsWith("value "));
  checks.equal("each key is returned, or redirected to its owner", moved.length + own.length, answers.length);
  checks.holds("some are returned, some are redirected", moved.length > 0 && own.length > 0, answers);
  plain.destroy();
}

async function pubsub(checks, cluster) {
  const got = [];
  await cluster.subscribe("news", (message) => got.push(message));
  await cluster.publish("news", "goal");
  await checks.eventually("a message", () => got.length);
  checks.equal("… as it was sent", got, ["goal"]);
  await cluster.unsubscribe("news");
}

async function loss(checks, cluster, keys) {
  await waitForMemberToEnd();
  const names = Object.keys(keys);
  const isThere = async (name) => (await cluster.get(name)) === keys[name];
  const areThere = () =>
    Promise.all(names.map(isThere)).then(
      (all) => all.every(Boolean),
      () => false,
    );
  await checks.eventually("all keys can be read again", areThere, SURVIVED_MAX);
  const set = await Promise.all(names.map((name) => cluster.set(name, `${keys[name]}!`)));
  checks.equal(
    "all keys can be changed again",
    set.every((answer) => answer === "OK"),
    true,
  );
  const ping = async (node) => (await (await cluster.nodeClient(node)).ping()) === "PONG";
  const answer = () =>
    Promise.all(cluster.masters.map(ping)).then(
      (all) => all.every(Boolean),
      () => false,
    );
  await checks.eventually("each known owner answers", answer);
}

export async function checkCluster(checks, ports) {
  const keys = Object.fromEntries(
    Array.from({ length: 1_000 }, (_, n) => [`key:${n}`, `value ${n}`]),
  );
  let cluster;
  for (const RESP of [2, 3]) {
    cluster?.destroy();
    cluster = await connect(ports, RESP);
    await Promise.all(
      cluster.masters.map(async (node) => (await cluster.nodeClient(node)).flushAll()),
    );
    for (const [part, about] of [
      [topology, ports],
      [manyKeys, keys],
      [severalKeys, keys],
      [pubsub],
    ]) {
      checks.part = `RESP${RESP}, ${part.name}`;
      await part(checks, cluster, about);
    }
    checks.part = `RESP${RESP}, oneMember`;
    await oneMember(checks, cluster, ports, keys);
  }
  checks.part = "loss";
  await loss(checks, cluster, keys);
}
