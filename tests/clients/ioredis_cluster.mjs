// ioredis as a client of a Redis Cluster; started by `ioredis.mjs --cluster`.

import { Cluster, Redis } from "ioredis";

import { waitForMemberToEnd } from "./checks.mjs";

const HOST = "127.0.0.1";

/** From the end of a member until all keys can be read again, in milliseconds. */
const SURVIVED_MAX = 10_000;

async function connect(ports, protocol) {
  const nodes = ports.map((port) => ({ host: HOST, port }));
  const cluster = new Cluster(nodes, { redisOptions: { protocol } }).on("error", () => {});
  await new Promise((done) => cluster.once("ready", done));
  return cluster;
}

async function topology(checks, cluster, ports) {
  const leaders = cluster
    .nodes("master")
    .map((node) => node.options.port)
    .sort();
  checks.equal("each member owns slots", leaders, [...ports].sort());
  checks.equal(
    "no slot is missing",
    Array.from(cluster.slots).filter((nodes) => !nodes?.length).length,
    0,
  );
  const info = await cluster.cluster("INFO");
  checks.holds("CLUSTER INFO", info.includes("cluster_state:ok"), info);
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
  const held = await Promise.all(cluster.nodes("master").map((node) => node.dbsize()));
  checks.holds("no member is without keys", Math.min(...held) > 0, held);
  checks.equal(
    "each key is on one member",
    held.reduce((sum, one) => sum + one),
    names.length,
  );
}

async function severalKeys(checks, cluster, keys) {
  const names = Object.keys(keys).slice(0, 20);
  const crossSlot = "CROSSSLOT Keys in request don't hash to the same slot";
  await checks.refused("MGET of several slots", crossSlot, cluster.mget(names));
  const tagged = Object.fromEntries(names.map((name, n) => [`{user}:${name}`, `${n}`]));
  checks.equal("MSET of one tag", await cluster.mset(tagged), "OK");
  checks.equal("MGET of one tag", await cluster.mget(Object.keys(tagged)), Object.values(tagged));
  const [first, second] = Object.keys(tagged);
  checks.equal("MULTI of one tag", await cluster.multi().incr(first).incr(second).exec(), [
    [null, 1],
    [null, 2],
  ]);
  const pipeline = await cluster.pipeline().get(first).get(second).exec();
  checks.equal("a pipeline of one tag", pipeline, [
    [null, "1"],
    [null, "2"],
  ]);
  await cluster.rpush("{user}:list", "a", "b");
  checks.equal(
    "LMOVE within one tag",
    await cluster.lmove("{user}:list", "{user}:other", "LEFT", "RIGHT"),
    "a",
  );
  const gone = [...Object.keys(tagged), "{user}:list", "{user}:other"];
  checks.equal("DEL of one tag", await cluster.del(gone), 22);
}

/** A client that knows one member only is redirected to the owners of other slots. */
async function oneMember(checks, cluster, ports, keys) {
  const plain = new Redis({ host: HOST, port: ports[0] }).on("error", () => {});
  const answers = await Promise.all(
    Object.keys(keys).map((key) => plain.get(key).catch((error) => error.message)),
  );
  const moved = answers.filter((answer) => /^MOVED \d+ 127\.0\.0\.1:\d+$/.test(answer));
  const own = answers.filter((answer) => answer?.startsWith("value "));
  checks.equal("each key is returned, or redirected to its owner", moved.length + own.length, answers.length);
  checks.holds("some are returned, some are redirected", moved.length > 0 && own.length > 0, answers);
  plain.disconnect();
}

async function pubsub(checks, cluster) {
  const got = [];
  cluster.on("message", (channel, message) => got.push([channel, message]));
  await cluster.subscribe("news");
  await cluster.publish("news", "goal");
  await checks.eventually("a message", () => got.length);
  checks.equal("… as it was sent", got, [["news", "goal"]]);
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
  const ping = async (node) => (await node.ping()) === "PONG";
  const answer = () =>
    Promise.all(cluster.nodes("master").map(ping)).then(
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
  for (const protocol of [2, 3]) {
    cluster?.disconnect();
    cluster = await connect(ports, protocol);
    await Promise.all(cluster.nodes("master").map((node) => node.flushall()));
    for (const [part, about] of [
      [topology, ports],
      [manyKeys, keys],
      [severalKeys, keys],
      [pubsub],
    ]) {
      checks.part = `RESP${protocol}, ${part.name}`;
      await part(checks, cluster, about);
    }
    checks.part = `RESP${protocol}, oneMember`;
    await oneMember(checks, cluster, ports, keys);
  }
  checks.part = "loss";
  await loss(checks, cluster, keys);
}
