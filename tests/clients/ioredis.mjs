// ioredis against a cluster: `ioredis.mjs PORT...`, the RESP ports of its members,
// or `ioredis.mjs --cluster PORT...` if they speak as nodes of a Redis Cluster. All
// keys of the cluster are removed.

import { createRequire } from "node:module";
import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";

import { commandLine, run } from "./checks.mjs";
import { checkCluster } from "./ioredis_cluster.mjs";

const HOST = "127.0.0.1";
const WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";

/** Time without a message after which none is expected, in milliseconds. */
const SILENCE = 300;

/** A client without retries. */
function connect(port, options = {}) {
  const once = { retryStrategy: null, maxRetriesPerRequest: 0 };
  return new Redis({ host: HOST, port, ...once, ...options }).on("error", () => {});
}

async function blocked(client) {
  return Number(/blocked_clients:(\d+)/.exec(await client.info("clients"))[1]);
}

async function collect(stream) {
  const all = [];
  for await (const part of stream) all.push(...part);
  return all;
}

async function server(checks, [a, b, c]) {
  for (const client of [a, b, c]) {
    checks.equal("PING", await client.ping(), "PONG");
    checks.equal("ECHO", await client.echo("so"), "so");
  }
  await a.client("SETNAME", "till-1");
  checks.equal("CLIENT GETNAME", await a.client("GETNAME"), "till-1");
  checks.holds("CLIENT LIST has the name", (await a.client("LIST")).includes("name=till-1 "));
  const unknown = "ERR unknown command 'NONSENSE', with args beginning with: 'a' ";
  await checks.refused("a command that is none", unknown, a.call("NONSENSE", "a"));
  const arity = "ERR wrong number of arguments for 'get' command";
  await checks.refused("too few arguments", arity, a.call("GET"));
  const script = "return {KEYS[1], redis.call('incr', KEYS[1]), ARGV[1]}";
  checks.equal("EVAL", await a.eval(script, 1, "of-a-script", "x"), ["of-a-script", 1, "x"]);
  a.defineCommand("addTwice", { numberOfKeys: 2, lua: "return redis.call('incr', KEYS[1]) + redis.call('incr', KEYS[2])" });
  checks.equal("a command defined by a script", await a.addTwice("of-a-script", "of-another"), 3);
}

async function strings(checks, [a, b, c]) {
  checks.equal("SET", await a.set("word", "first"), "OK");
  for (const client of [a, b, c]) {
    checks.equal("GET through each member", await client.get("word"), "first");
  }
  checks.equal("GET of a missing key", await b.get("nothing"), null);
  checks.equal("SET NX", await b.set("word", "x", "NX"), null);
  checks.equal("SET XX of a missing key", await b.set("nothing", "x", "XX"), null);
  checks.equal("SET GET", await c.set("word", "second", "GET"), "first");
  checks.equal("GETDEL", await a.getdel("word"), "second");
  const counts = [await a.incr("count"), await b.incr("count"), await c.incr("count")];
  checks.equal("INCR through each member", counts, [1, 2, 3]);
  checks.equal("INCRBYFLOAT", await a.incrbyfloat("count", 0.5), "3.5");
  const notInteger = "ERR value is not an integer or out of range";
  await checks.refused("INCR of a value that is not an integer", notInteger, b.incr("count"));
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`many:${n}`, `${n}`]));
  checks.equal("MSET", await a.mset(many), "OK");
  const got = await b.mget([...Object.keys(many), "nothing"]);
  checks.equal("MGET", got, [...Object.values(many), null]);
  checks.equal("EXISTS of several", await c.exists(Object.keys(many)), 100);
  checks.equal("DEL of several", await a.del(Object.keys(many)), 100);
  checks.equal("TYPE", await b.type("count"), "string");
  await checks.refused("a list's command", WRONG_TYPE, c.lpush("count", "x"));

  const bytes = Buffer.from([...Array(256).keys(), 13, 10, 36]);
  await a.set(bytes, bytes);
  checks.equal("all bytes, in key and value", (await b.getBuffer(bytes)).equals(bytes), true);
  const large = "0123456789abcdef".repeat(131_072);
  await b.set("large", large);
  checks.equal("two megabytes", (await c.get("large")) === large, true);
}

async function expiry(checks, [a, b, c]) {
  await a.set("brief", "x", "EX", 100);
  for (const client of [a, b, c]) {
    const ttl = await client.ttl("brief");
    checks.holds("TTL through each member", ttl === 99 || ttl === 100, ttl);
  }
  checks.equal("PERSIST", await b.persist("brief"), 1);
  checks.equal("TTL without one", await c.ttl("brief"), -1);
  checks.equal("TTL of a missing key", await a.ttl("nothing"), -2);
  checks.equal("EXPIRE GT of a key without a TTL", await a.expire("brief", 10, "GT"), 0);
  const at = Math.floor(Date.now() / 1_000) + 100;
  checks.equal("EXPIREAT", await c.expireat("brief", at), 1);
  checks.equal("EXPIRETIME", await a.expiretime("brief"), at);
  for (const client of [a, b, c]) {
    await client.set("blink", "x", "PX", 300);
    checks.equal("the key exists", await b.get("blink"), "x");
    await checks.eventually("the key is gone", async () => (await client.get("blink")) === null);
    const left = await Promise.all([a, b, c].map((other) => other.exists("blink")));
    checks.equal("… for all", left, [0, 0, 0]);
  }
}

async function pipelines(checks, [a, b, c]) {
  const numbers = Array.from({ length: 500 }, (_, n) => `${n}`);
  const set = a.pipeline();
  for (const n of numbers) set.set(`pipe:${n}`, n);
  checks.equal(
    "500 SETs at once",
    await set.exec(),
    numbers.map(() => [null, "OK"]),
  );
  const get = b.pipeline();
  for (const n of numbers) get.get(`pipe:${n}`);
  checks.equal(
    "500 GETs at once, in order",
    await get.exec(),
    numbers.map((n) => [null, n]),
  );
  const mixed = await c.pipeline().get("pipe:1").lpush("pipe:1", "x").get("pipe:2").exec();
  const shown = mixed.map(([error, answer]) => error?.message ?? answer);
  checks.equal("what follows a failure is done", shown, ["1", WRONG_TYPE, "2"]);
  const auto = connect(c.options.port, {
    enableAutoPipelining: true,
    protocol: c.options.protocol,
  });
  const got = await Promise.all(numbers.map((n) => auto.get(`pipe:${n}`)));
  checks.equal("pipelines made by the client", got, numbers);
  auto.disconnect();
}

async function transactions(checks, [a, b, c]) {
  const one = await a
    .multi()
    .set("{t}a", "1")
    .incr("{t}a")
    .rpush("{t}l", "x", "y")
    .lrange("{t}l", 0, -1)
    .exec();
  checks.equal("MULTI of one slot", one, [
    [null, "OK"],
    [null, 2],
    [null, 2],
    [null, ["x", "y"]],
  ]);
  const spread = b.multi();
  for (const name of "abcdef") spread.set(`spread:${name}`, name).get(`spread:${name}`);
  checks.equal(
    "MULTI of several slots",
    await spread.exec(),
    [..."abcdef"].flatMap((name) => [
      [null, "OK"],
      [null, name],
    ]),
  );
  const failed = await c.multi().incr("{t}a").lpush("{t}a", "x").incr("{t}a").exec();
  const shown = failed.map(([error, answer]) => error?.message ?? answer);
  checks.equal("a failure in EXEC is returned in its place", shown, [3, WRONG_TYPE, 4]);
  const broken = a.multi().set("{t}a", "no").call("GET").exec();
  const aborted = "EXECABORT Transaction discarded because of previous errors.";
  await checks.refused("a command that cannot be queued", aborted, broken);
  checks.equal("… lets none of them be done", await b.get("{t}a"), "4");

  await a.watch("{t}w");
  await b.set("{t}w", "changed");
  checks.equal(
    "WATCH sees a change through another member",
    await a.multi().set("{t}w", "mine").exec(),
    null,
  );
  checks.equal("… and EXEC did nothing", await c.get("{t}w"), "changed");
  await a.watch("{t}w");
  checks.equal("WATCH without a change", await a.multi().set("{t}w", "mine").exec(), [
    [null, "OK"],
  ]);
}

async function hashes(checks, [a, b, c]) {
  checks.equal("HSET", await a.hset("hash", { one: "1", two: "2" }), 2);
  for (const client of [a, b, c]) {
    checks.equal("HGETALL", await client.hgetall("hash"), { one: "1", two: "2" });
  }
  checks.equal("HGETALL of a missing key", await a.hgetall("nothing"), {});
  checks.equal("HMGET", await b.hmget("hash", "one", "none"), ["1", null]);
  checks.equal("HINCRBY", await c.hincrby("hash", "one", 5), 6);
  checks.equal("HEXISTS", await b.hexists("hash", "none"), 0);
  checks.equal("HDEL", await c.hdel("hash", "one", "two"), 2);
  checks.equal("the last field takes the hash along", await a.exists("hash"), 0);
  const large = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`field-${n}`, `${n}`]));
  await a.hset("large-hash", large);
  const flat = await collect(b.hscanStream("large-hash", { count: 50 }));
  const found = Object.fromEntries(
    flat.flatMap((field, at) => (at % 2 ? [] : [[field, flat[at + 1]]])),
  );
  checks.equal("HSCAN finds all", found, large);
}

async function lists(checks, [a, b, c]) {
  checks.equal("RPUSH", await a.rpush("{l}one", "a", "b", "c"), 3);
  for (const client of [a, b, c]) {
    checks.equal("LRANGE", await client.lrange("{l}one", 0, -1), ["a", "b", "c"]);
  }
  checks.equal("LPOP of several", await b.lpop("{l}one", 2), ["a", "b"]);
  checks.equal("LMOVE", await c.lmove("{l}one", "{l}two", "LEFT", "RIGHT"), "c");
  checks.equal("LPOP of a missing key", await a.lpop("{l}one"), null);
  checks.equal("BLPOP of what is there", await b.blpop("{l}one", "{l}two", 1), ["{l}two", "c"]);
  checks.equal("BLPOP of a missing key times out", await c.blpop("{l}one", 0.2), null);
  for (const [waiting, pushing] of [
    [a, b],
    [b, c],
    [c, a],
  ]) {
    const own = waiting.duplicate();
    const wait = own.blpop("{l}one", 4);
    await checks.eventually(
      "a client that waits is counted",
      async () => (await blocked(waiting)) === 1,
    );
    await pushing.rpush("{l}one", "for you");
    checks.equal("BLPOP is woken through another member", await wait, ["{l}one", "for you"]);
    checks.equal("… and has taken it", await a.exists("{l}one"), 0);
    own.disconnect();
  }
}

async function sets(checks, [a, b, c]) {
  checks.equal("SADD", await a.sadd("set:1", "a", "b", "c"), 3);
  await b.sadd("set:2", "b", "c", "d");
  checks.equal("SMEMBERS", [...(await c.smembers("set:1"))].sort(), ["a", "b", "c"]);
  checks.equal("SINTER of two slots", [...(await a.sinter("set:1", "set:2"))].sort(), ["b", "c"]);
  checks.equal("SISMEMBER", await b.sismember("set:1", "z"), 0);
  const many = Array.from({ length: 1_000 }, (_, n) => `${n}`);
  await a.sadd("set:many", many);
  const found = new Set(await collect(b.sscanStream("set:many", { count: 50 })));
  checks.equal("SSCAN finds all", found, new Set(many));
}

async function sortedSets(checks, [a, b, c]) {
  checks.equal("ZADD", await a.zadd("{z}one", 1, "a", 2.5, "b", 3, "c"), 3);
  const expected = ["a", "1", "b", "2.5", "c", "3"];
  for (const client of [a, b, c]) {
    const got = await client.zrange("{z}one", 0, -1, "WITHSCORES");
    checks.equal("ZRANGE with scores", got.flat().map(String), expected);
  }
  checks.equal("ZSCORE", Number(await b.zscore("{z}one", "b")), 2.5);
  checks.equal("ZSCORE of a missing member", await b.zscore("{z}one", "none"), null);
  checks.equal("ZINCRBY", Number(await c.zincrby("{z}one", 4, "a")), 5);
  checks.equal("ZRANK", await a.zrank("{z}one", "a"), 2);
  checks.equal("ZCOUNT", await b.zcount("{z}one", "(2.5", "+inf"), 2);
  const back = await c.zrange("{z}one", "+inf", "-inf", "BYSCORE", "REV", "LIMIT", 1, 1);
  checks.equal("ZRANGE BYSCORE REV LIMIT", back, ["c"]);
  checks.equal("ZPOPMIN", (await c.zpopmin("{z}one")).flat().map(String), ["b", "2.5"]);
  checks.equal("ZREMRANGEBYSCORE", await a.zremrangebyscore("{z}one", "-inf", "+inf"), 2);
  const own = b.duplicate();
  const wait = own.bzpopmin("{z}two", 4);
  await checks.eventually("BZPOPMIN waits", async () => (await blocked(b)) === 1);
  await c.zadd("{z}two", 7, "late");
  checks.equal("BZPOPMIN is woken through another member", (await wait).map(String), [
    "{z}two",
    "late",
    "7",
  ]);
  own.disconnect();
}

async function scans(checks, [a, b, c]) {
  await a.flushdb();
  const keys = Array.from({ length: 2_000 }, (_, n) => `scan:${n}`);
  await Promise.all(keys.map((key) => a.set(key, "x")));
  await a.rpush("a-list", "x");
  for (const client of [a, b, c]) {
    const found = await collect(client.scanStream({ match: "scan:*", count: 100 }));
    checks.equal("SCAN finds all", new Set(found), new Set(keys));
    checks.equal("DBSIZE", await client.dbsize(), 2_001);
  }
  checks.equal("SCAN of a type", await collect(b.scanStream({ type: "list", count: 500 })), [
    "a-list",
  ]);
  checks.equal("KEYS", (await c.keys("scan:199[0-2]")).sort(), [
    "scan:1990",
    "scan:1991",
    "scan:1992",
  ]);
}

/** A client that keeps the messages that it receives. */
function subscriber(client) {
  const own = client.duplicate();
  const all = [];
  own.on("message", (channel, message) => all.push([channel, message]));
  own.on("pmessage", (pattern, channel, message) => all.push([pattern, channel, message]));
  const expectMessages = (checks, what, expected) =>
    checks
      .eventually(what, () => all.length >= expected.length)
      .then(() => {
        checks.equal(what, all.splice(0).sort(), [...expected].sort());
      });
  return { own, all, expectMessages };
}

async function pubsub(checks, [a, b, c]) {
  const exact = subscriber(b);
  const pattern = subscriber(c);
  checks.equal("SUBSCRIBE", await exact.own.subscribe("news.sport", "other"), 2);
  checks.equal("PSUBSCRIBE", await pattern.own.psubscribe("news.*", "news.s?ort"), 2);
  checks.equal("PUBLISH counts receivers on all members", await a.publish("news.sport", "goal"), 3);
  await exact.expectMessages(checks, "a message", [["news.sport", "goal"]]);
  const both = ["news.*", "news.s?ort"].map((glob) => [glob, "news.sport", "goal"]);
  await pattern.expectMessages(checks, "a message by patterns", both);
  for (const sender of [a, b, c]) {
    await sender.publish("news.weather", "rain");
    await pattern.expectMessages(checks, "a message through each member", [
      ["news.*", "news.weather", "rain"],
    ]);
  }
  const numbers = Array.from({ length: 200 }, (_, n) => `${n}`);
  await Promise.all(numbers.map((n) => a.publish("other", n)));
  await checks.eventually("200 messages", () => exact.all.length === 200);
  checks.equal(
    "messages of one sender are in order",
    exact.all.splice(0).map(([, message]) => message),
    numbers,
  );
  checks.equal("UNSUBSCRIBE", await exact.own.unsubscribe("other"), 1);
  await a.publish("other", "late");
  await pause(SILENCE);
  checks.equal("nothing comes after UNSUBSCRIBE, nor twice", [exact.all, pattern.all], [[], []]);
  exact.own.disconnect();
  pattern.own.disconnect();
}

async function notifications(checks, [a, b, c]) {
  const name = "notify-keyspace-events";
  checks.equal("CONFIG SET", await a.config("SET", name, "Ex"), "OK");
  for (const client of [a, b, c]) {
    const isKnown = async () =>
      Object.values(await client.config("GET", name)).some((value) => /^(Ex|xE)$/.test(value));
    await checks.eventually("all members have the setting", isKnown);
  }
  const subscribers = [a, b, c].map(subscriber);
  const topic = "__keyevent@0__:expired";
  for (const { own } of subscribers) await own.subscribe(topic);
  for (const [n, client] of [a, b, c].entries()) await client.set(`brief:${n}`, "x", "PX", 50);
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
  for (const { own } of subscribers) own.disconnect();
  await a.config("SET", name, "");
}

async function check(checks, ports) {
  for (const protocol of [2, 3]) {
    const clients = ports.map((port) => connect(port, { protocol }));
    await clients[0].flushall();
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
      checks.part = `RESP${protocol}, ${part.name}`;
      await part(checks, clients);
    }
    await clients[0].flushall();
    checks.part = `RESP${protocol}, quit`;
    checks.equal("QUIT", await Promise.all(clients.map((client) => client.quit())), [
      "OK",
      "OK",
      "OK",
    ]);
  }
}

const { version } = createRequire(import.meta.url)("ioredis/package.json");
const { ports, isCluster } = commandLine();
if (isCluster) {
  await run(`ioredis ${version} --cluster`, (checks) => checkCluster(checks, ports));
} else {
  await run(`ioredis ${version}`, (checks) => check(checks, ports));
}
