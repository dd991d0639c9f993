// node-redis against a cluster: `node_redis.mjs PORT...`, the RESP ports of its
// members, or `node_redis.mjs --cluster PORT...` if they speak as nodes of a Redis
// Cluster. All keys of the cluster are removed.

import { createRequire } from "node:module";
import { setTimeout as pause } from "node:timers/promises";
import { createClient, RESP_TYPES } from "redis";

import { commandLine, run } from "./checks.mjs";
import { checkCluster } from "./node_redis_cluster.mjs";

const HOST = "127.0.0.1";
const WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";

/** Time without a message after which none is expected, in milliseconds. */
const SILENCE = 300;

/** A client without retries. */
async function connect(port, options = {}) {
  const socket = { host: HOST, port, reconnectStrategy: false };
  return createClient({ socket, ...options })
    .on("error", () => {})
    .connect();
}

async function blocked(client) {
  return Number(/blocked_clients:(\d+)/.exec(await client.info("clients"))[1]);
}

async function collect(iterator) {
  const all = [];
  for await (const part of iterator) all.push(...(Array.isArray(part) ? part : [part]));
  return all;
}

async function server(checks, [a, b, c]) {
  for (const client of [a, b, c]) {
    checks.equal("PING", await client.ping(), "PONG");
    checks.equal("ECHO", await client.echo("so"), "so");
  }
  const hello = await a.sendCommand(["HELLO"]);
  const of = Array.isArray(hello)
    ? Object.fromEntries(hello.flatMap((word, at) => (at % 2 ? [] : [[word, hello[at + 1]]])))
    : hello;
  checks.equal("HELLO", [of.server, of.role, of.mode], ["redis", "master", "standalone"]);
  await a.clientSetName("till-1");
  checks.equal("CLIENT GETNAME", await a.clientGetName(), "till-1");
  const names = (await a.clientList()).map((client) => client.name);
  checks.holds("CLIENT LIST has the name", names.includes("till-1"), names);
  checks.equal("CONFIG GET", await b.configGet("databases"), { databases: "16" });
  const [get] = await c.commandInfo(["get"]);
  checks.equal("COMMAND INFO", [get.name, get.arity, get.firstKeyIndex], ["get", 2, 1]);
  const unknown = "ERR unknown command 'NONSENSE', with args beginning with: 'a' ";
  await checks.refused("a command that is none", unknown, a.sendCommand(["NONSENSE", "a"]));
  const arity = "ERR wrong number of arguments for 'get' command";
  await checks.refused("too few arguments", arity, a.sendCommand(["GET"]));
  const script = "return {KEYS[1], redis.call('incr', KEYS[1]), ARGV[1]}";
  const parts = await a.eval(script, { keys: ["of-a-script"], arguments: ["x"] });
  checks.equal("EVAL", parts, ["of-a-script", 1, "x"]);
}

async function strings(checks, [a, b, c]) {
  checks.equal("SET", await a.set("word", "first"), "OK");
  for (const client of [a, b, c]) {
    checks.equal("GET through each member", await client.get("word"), "first");
  }
  checks.equal("GET of a missing key", await b.get("nothing"), null);
  checks.equal("SET NX", await b.set("word", "x", { condition: "NX" }), null);
  checks.equal("SET XX of a missing key", await b.set("nothing", "x", { condition: "XX" }), null);
  checks.equal("SET GET", await c.set("word", "second", { GET: true }), "first");
  checks.equal("GETDEL", await a.getDel("word"), "second");
  const counts = [await a.incr("count"), await b.incr("count"), await c.incr("count")];
  checks.equal("INCR through each member", counts, [1, 2, 3]);
  checks.equal("INCRBYFLOAT", await a.incrByFloat("count", 0.5), "3.5");
  const notInteger = "ERR value is not an integer or out of range";
  await checks.refused("INCR of a value that is not an integer", notInteger, b.incr("count"));
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`many:${n}`, `${n}`]));
  checks.equal("MSET", await a.mSet(many), "OK");
  const got = await b.mGet([...Object.keys(many), "nothing"]);
  checks.equal("MGET", got, [...Object.values(many), null]);
  checks.equal("EXISTS of several", await c.exists([...Object.keys(many), "nothing"]), 100);
  checks.equal("DEL of several", await a.del(Object.keys(many)), 100);
  checks.equal("TYPE", await b.type("count"), "string");
  await checks.refused("a list's command", WRONG_TYPE, c.lPush("count", "x"));

  const bytes = Buffer.from([...Array(256).keys(), 13, 10, 36]);
  await a.set(bytes, bytes);
  const raw = b.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  checks.equal("all bytes, in key and value", (await raw.get(bytes)).equals(bytes), true);
  const large = "0123456789abcdef".repeat(131_072);
  await b.set("large", large);
  checks.equal("two megabytes", (await c.get("large")) === large, true);
}

async function expiry(checks, [a, b, c]) {
  await a.set("brief", "x", { expiration: { type: "EX", value: 100 } });
  for (const client of [a, b, c]) {
    const ttl = await client.ttl("brief");
    checks.holds("TTL through each member", ttl === 99 || ttl === 100, ttl);
  }
  checks.equal("PERSIST", await b.persist("brief"), 1);
  checks.equal("TTL without one", await c.ttl("brief"), -1);
  checks.equal("TTL of a missing key", await a.ttl("nothing"), -2);
  checks.equal("EXPIRE GT of a key without a TTL", await a.expire("brief", 10, "GT"), 0);
  checks.equal("EXPIRE NX", await b.expire("brief", 10, "NX"), 1);
  const at = Math.floor(Date.now() / 1_000) + 100;
  checks.equal("EXPIREAT", await c.expireAt("brief", at), 1);
  checks.equal("EXPIRETIME", await a.expireTime("brief"), at);
  for (const client of [a, b, c]) {
    await client.set("blink", "x", { expiration: { type: "PX", value: 300 } });
    checks.equal("the key exists", await b.get("blink"), "x");
    await checks.eventually("the key is gone", async () => (await client.get("blink")) === null);
    const left = await Promise.all([a, b, c].map((other) => other.exists("blink")));
    checks.equal("… for all", left, [0, 0, 0]);
  }
}

async function pipelines(checks, [a, b]) {
  const numbers = Array.from({ length: 500 }, (_, n) => `${n}`);
  const set = await Promise.all(numbers.map((n) => a.set(`pipe:${n}`, n)));
  checks.equal(
    "500 SETs at once",
    set.every((answer) => answer === "OK"),
    true,
  );
  const got = await Promise.all(numbers.map((n) => b.get(`pipe:${n}`)));
  checks.equal("500 GETs at once, in order", got, numbers);
  const mixed = await a
    .multi()
    .set("order", "1")
    .append("order", "2")
    .get("order")
    .execAsPipeline();
  checks.equal("a pipeline is in order", mixed, ["OK", 2, "12"]);
}

async function transactions(checks, [a, b, c]) {
  const one = await a
    .multi()
    .set("{t}a", "1")
    .incr("{t}a")
    .rPush("{t}l", ["x", "y"])
    .lRange("{t}l", 0, -1)
    .exec();
  checks.equal("MULTI of one slot", one, ["OK", 2, 2, ["x", "y"]]);
  const spread = b.multi();
  for (const name of "abcdef") spread.set(`spread:${name}`, name).get(`spread:${name}`);
  checks.equal(
    "MULTI of several slots",
    await spread.exec(),
    [..."abcdef"].flatMap((name) => ["OK", name]),
  );
  const failed = c.multi().incr("{t}a").lPush("{t}a", "x").incr("{t}a").exec();
  const { replies } = await failed.then(
    () => ({ replies: [] }),
    (error) => error,
  );
  const shown = replies.map((reply) => (reply instanceof Error ? reply.message : reply));
  checks.equal("a failure in EXEC is returned in its place", shown, [3, WRONG_TYPE, 4]);

  await a.watch("{t}w");
  await b.set("{t}w", "changed");
  const watched = a.multi().set("{t}w", "mine").exec();
  await checks.refused(
    "WATCH sees a change through another member",
    "One (or more) of the watched keys has been changed",
    watched,
  );
  checks.equal("… and EXEC did nothing", await c.get("{t}w"), "changed");
  await a.watch("{t}w");
  checks.equal("WATCH without a change", await a.multi().set("{t}w", "mine").exec(), ["OK"]);
}

async function hashes(checks, [a, b, c]) {
  checks.equal("HSET", await a.hSet("hash", { one: "1", two: "2" }), 2);
  for (const client of [a, b, c]) {
    checks.equal("HGETALL", await client.hGetAll("hash"), { one: "1", two: "2" });
  }
  checks.equal("HGETALL of a missing key", await a.hGetAll("nothing"), {});
  checks.equal("HMGET", await b.hmGet("hash", ["one", "none"]), ["1", null]);
  checks.equal("HINCRBY", await c.hIncrBy("hash", "one", 5), 6);
  checks.equal("HINCRBYFLOAT", await a.hIncrByFloat("hash", "two", 0.5), "2.5");
  checks.equal("HEXISTS", await b.hExists("hash", "none"), 0);
  checks.equal("HDEL", await c.hDel("hash", ["one", "two"]), 2);
  checks.equal("the last field takes the hash along", await a.exists("hash"), 0);
  const large = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`field-${n}`, `${n}`]));
  await a.hSet("large-hash", large);
  const found = await collect(b.hScanIterator("large-hash", { COUNT: 50 }));
  checks.equal(
    "HSCAN finds all",
    Object.fromEntries(found.map(({ field, value }) => [field, value])),
    large,
  );
}

async function lists(checks, [a, b, c]) {
  checks.equal("RPUSH", await a.rPush("{l}one", ["a", "b", "c"]), 3);
  for (const client of [a, b, c]) {
    checks.equal("LRANGE", await client.lRange("{l}one", 0, -1), ["a", "b", "c"]);
  }
  checks.equal("LPOP of several", await b.lPopCount("{l}one", 2), ["a", "b"]);
  checks.equal("LMOVE", await c.lMove("{l}one", "{l}two", "LEFT", "RIGHT"), "c");
  checks.equal("LPOP of a missing key", await a.lPop("{l}one"), null);
  checks.equal("BLPOP of what is there", await b.blPop(["{l}one", "{l}two"], 1), {
    key: "{l}two",
    element: "c",
  });
  checks.equal("BLPOP of a missing key times out", await c.blPop("{l}one", 0.2), null);
  for (const [waiting, pushing] of [
    [a, b],
    [b, c],
    [c, a],
  ]) {
    const own = await waiting.duplicate().connect();
    const wait = own.blPop("{l}one", 4);
    await checks.eventually(
      "a client that waits is counted",
      async () => (await blocked(waiting)) === 1,
    );
    await pushing.rPush("{l}one", "for you");
    checks.equal("BLPOP is woken through another member", await wait, {
      key: "{l}one",
      element: "for you",
    });
    checks.equal("… and has taken it", await a.exists("{l}one"), 0);
    own.destroy();
  }
}

async function sets(checks, [a, b, c]) {
  checks.equal("SADD", await a.sAdd("set:1", ["a", "b", "c"]), 3);
  await b.sAdd("set:2", ["b", "c", "d"]);
  checks.equal("SMEMBERS", (await c.sMembers("set:1")).sort(), ["a", "b", "c"]);
  checks.equal("SINTER of two slots", (await a.sInter(["set:1", "set:2"])).sort(), ["b", "c"]);
  checks.equal("SISMEMBER", await b.sIsMember("set:1", "z"), 0);
  checks.equal("SMISMEMBER", await c.smIsMember("set:1", ["a", "z"]), [1, 0]);
  const many = Array.from({ length: 1_000 }, (_, n) => `${n}`);
  await a.sAdd("set:many", many);
  const found = new Set(await collect(b.sScanIterator("set:many", { COUNT: 50 })));
  checks.equal("SSCAN finds all", found, new Set(many));
}

async function sortedSets(checks, [a, b, c]) {
  const members = [
    { value: "a", score: 1 },
    { value: "b", score: 2.5 },
    { value: "c", score: 3 },
  ];
  checks.equal("ZADD", await a.zAdd("{z}one", members), 3);
  for (const client of [a, b, c]) {
    checks.equal("ZRANGE with scores", await client.zRangeWithScores("{z}one", 0, -1), members);
  }
  checks.equal("ZSCORE", await b.zScore("{z}one", "b"), 2.5);
  checks.equal("ZSCORE of a missing member", await b.zScore("{z}one", "none"), null);
  checks.equal("ZINCRBY", await c.zIncrBy("{z}one", 4, "a"), 5);
  checks.equal("ZRANK", await a.zRank("{z}one", "a"), 2);
  checks.equal("ZCOUNT", await b.zCount("{z}one", "(2.5", "+inf"), 2);
  const back = { BY: "SCORE", REV: true, LIMIT: { offset: 1, count: 1 } };
  checks.equal("ZRANGE BYSCORE REV LIMIT", await c.zRange("{z}one", "+inf", "-inf", back), ["c"]);
  checks.equal(
    "ZADD NX",
    await a.zAdd("{z}one", { value: "d", score: Infinity }, { condition: "NX" }),
    1,
  );
  checks.equal("infinity", await b.zScore("{z}one", "d"), Infinity);
  checks.equal("ZPOPMIN", await c.zPopMin("{z}one"), { value: "b", score: 2.5 });
  checks.equal("ZREMRANGEBYSCORE", await a.zRemRangeByScore("{z}one", "-inf", "+inf"), 3);
  const own = await b.duplicate().connect();
  const wait = own.bzPopMin("{z}two", 4);
  await checks.eventually("BZPOPMIN waits", async () => (await blocked(b)) === 1);
  await c.zAdd("{z}two", { value: "late", score: 7 });
  checks.equal("BZPOPMIN is woken through another member", await wait, {
    key: "{z}two",
    value: "late",
    score: 7,
  });
  own.destroy();
}

async function scans(checks, [a, b, c]) {
  await a.flushDb();
  const keys = Array.from({ length: 2_000 }, (_, n) => `scan:${n}`);
  await Promise.all(keys.map((key) => a.set(key, "x")));
  await a.rPush("a-list", "x");
  for (const client of [a, b, c]) {
    const found = await collect(client.scanIterator({ MATCH: "scan:*", COUNT: 100 }));
    checks.equal("SCAN finds all", new Set(found), new Set(keys));
    checks.equal("DBSIZE", await client.dbSize(), 2_001);
  }
  checks.equal("SCAN of a type", await collect(b.scanIterator({ TYPE: "list", COUNT: 500 })), [
    "a-list",
  ]);
  checks.equal("KEYS", (await c.keys("scan:199[0-2]")).sort(), [
    "scan:1990",
    "scan:1991",
    "scan:1992",
  ]);
}

/** A client that keeps the messages that it receives. */
async function subscriber(client) {
  const own = await client.duplicate().connect();
  const all = [];
  const listener = (message, channel) => all.push([channel, message]);
  const expectMessages = (checks, what, expected) =>
    checks
      .eventually(what, () => all.length >= expected.length)
      .then(() => {
        checks.equal(what, all.splice(0).sort(), [...expected].sort());
      });
  return { own, all, listener, expectMessages };
}

async function pubsub(checks, [a, b, c]) {
  const exact = await subscriber(b);
  const pattern = await subscriber(c);
  await exact.own.subscribe(["news.sport", "other"], exact.listener);
  await pattern.own.pSubscribe(["news.*", "news.s?ort"], pattern.listener);
  checks.equal("PUBLISH counts receivers on all members", await a.publish("news.sport", "goal"), 3);
  await exact.expectMessages(checks, "a message", [["news.sport", "goal"]]);
  await pattern.expectMessages(checks, "a message by patterns", [
    ["news.sport", "goal"],
    ["news.sport", "goal"],
  ]);
  for (const sender of [a, b, c]) {
    await sender.publish("news.weather", "rain");
    await pattern.expectMessages(checks, "a message through each member", [["news.weather", "rain"]]);
  }
  const numbers = Array.from({ length: 200 }, (_, n) => `${n}`);
  await Promise.all(numbers.map((n) => a.publish("other", n)));
  await checks.eventually("200 messages", () => exact.all.length === 200);
  checks.equal(
    "messages of one sender are in order",
    exact.all.splice(0).map(([, message]) => message),
    numbers,
  );
  checks.equal("PUBSUB NUMPAT", await c.pubSubNumPat(), 2);
  checks.equal("PUBSUB NUMSUB", await b.pubSubNumSub(["other"]), { other: 1 });
  await exact.own.unsubscribe("other");
  await a.publish("other", "late");
  await pause(SILENCE);
  checks.equal("nothing comes after UNSUBSCRIBE, nor twice", [exact.all, pattern.all], [[], []]);
  exact.own.destroy();
  pattern.own.destroy();
}

async function notifications(checks, [a, b, c]) {
  checks.equal("CONFIG SET", await a.configSet("notify-keyspace-events", "Ex"), "OK");
  for (const client of [a, b, c]) {
    const setting = async () =>
      (await client.configGet("notify-keyspace-events"))["notify-keyspace-events"];
    await checks.eventually(
      "all members have the setting",
      async () => [...(await setting())].sort().join("") === "Ex",
    );
  }
  const subscribers = await Promise.all([a, b, c].map(subscriber));
  const topic = "__keyevent@0__:expired";
  for (const { own, listener } of subscribers) await own.subscribe(topic, listener);
  for (const [n, client] of [a, b, c].entries()) {
    await client.set(`brief:${n}`, "x", { expiration: { type: "PX", value: 50 } });
  }
  const expected = [0, 1, 2].map((n) => [topic, `brief:${n}`]);
  for (const { expectMessages } of subscribers) {
    await expectMessages(checks, "each expiry is published through each member", expected);
  }
  await pause(SILENCE);
  checks.equal(
    "… and once",
    subscribers.map(({ all }) => all),
    [[], [], []],
  );
  for (const { own } of subscribers) own.destroy();
  await a.configSet("notify-keyspace-events", "");
}

async function check(checks, ports) {
  for (const RESP of [2, 3]) {
    const clients = await Promise.all(ports.map((port) => connect(port, { RESP })));
    await clients[0].flushAll();
    for (const part of [
      server,
      strings,
      expiry,
      pipelines,
      transactions,
      hashes,
      lists,
      sets,
      sortedSets,
      scans,
      pubsub,
      notifications,
    ]) {
      checks.part = `RESP${RESP}, ${part.name}`;
      await part(checks, clients);
    }
    await clients[0].flushAll();
    for (const client of clients) client.destroy();
  }
}

const { version } = createRequire(import.meta.url)("redis/package.json");
const { ports, isCluster } = commandLine();
if (isCluster) {
  await run(`node-redis ${version} --cluster`, (checks) => checkCluster(checks, ports));
} else {
  await run(`node-redis ${version}`, (checks) => check(checks, ports));
}
