// Maps: single entries, several, lifetimes, locks, listeners, near caches, types, and what is refused.

import hazelcast from "hazelcast-client";
import Long from "long";
import { add, Events, sleep, text, unordered } from "./case.mjs";
import { CompactPerson, PortablePerson, Processor } from "./objects.mjs";

const { Predicates, HazelcastJsonValue } = hazelcast;

// Declares a case with a fresh map.
function onMap(name, body) {
  add(`map.${name}`, async (it) => body(it, await it.client.getMap(it.fresh())));
}

onMap("put-get-remove", async (it, m) => {
  await it.see(() => m.put("k", 1));
  await it.see(() => m.put("k", 2));
  await it.see(() => m.get("k"));
  await it.see(() => m.containsKey("k"));
  await it.see(() => m.remove("k"));
  await it.see(() => m.remove("k"));
  await it.see(() => m.get("k"));
  await it.see(() => m.size());
  await it.see(() => m.isEmpty());
});

onMap("conditions", async (it, m) => {
  await it.see(() => m.putIfAbsent("k", 1));
  await it.see(() => m.putIfAbsent("k", 2));
  await it.see(() => m.replace("k", 3));
  await it.see(() => m.replace("none", 3));
  await it.see(() => m.replaceIfSame("k", 9, 4));
  await it.see(() => m.replaceIfSame("k", 3, 4));
  await it.see(() => m.remove("k", 9));
  await it.see(() => m.remove("k", 4));
  await it.see(() => m.set("k", 5));
  await it.see(() => m.delete("k"));
  await it.see(() => m.delete("k"));
});

onMap("try-and-transient", async (it, m) => {
  await it.see(() => m.tryPut("k", 1, 1000));
  await it.see(() => m.tryPut("k", 2, 0));
  await it.see(() => m.get("k"));
  await it.see(() => m.tryRemove("k", 1000));
  await it.see(() => m.tryRemove("k", 0));
  await it.see(() => m.putTransient("k", 1));
  await it.see(() => m.putTransient("k", 2, 100_000, 50_000));
  await it.see(async () => (await m.getEntryView("k")).maxIdle);
});

onMap("all-entries", async (it, m) => {
  await it.see(() => m.putAll(Array.from({ length: 200 }, (_, n) => [`k${n}`, n])));
  await it.see(() => m.setAll([["k0", "new"]]));
  await it.see(() => m.size());
  await it.seeUnordered(() => m.getAll(["k0", "k1", "none"]));
  await it.see(() => m.getAll([]));
  await it.seeUnordered(() => m.keySet());
  await it.seeUnordered(() => m.values());
  await it.seeUnordered(() => m.entrySet());
  await it.see(() => m.containsValue(5));
  await it.see(() => m.containsValue(500));
  await it.see(() => m.clear());
  await it.see(() => m.size());
  await it.see(() => m.putAll([]));
});

onMap("evict", async (it, m) => {
  await m.putAll([["a", 1], ["b", 2]]);
  await it.see(() => m.evict("a"));
  await it.see(() => m.evict("a"));
  await it.see(() => m.evictAll());
  await it.see(() => m.size());
});

onMap("null-arguments", async (it, m) => {
  await it.see(() => m.put(null, 1));
  await it.see(() => m.put("k", null));
  await it.see(() => m.get(undefined));
  await it.see(() => m.containsValue(null));
  await it.see(() => m.replaceIfSame("k", null, 1));
  await it.see(() => m.lock(null));
  await it.see(() => m.size());
});

onMap("entry-view", async (it, m) => {
  await it.see(() => m.getEntryView("k"));
  await m.put("k", 1, 100_000, 50_000);
  await m.get("k");
  const view = await m.getEntryView("k");
  it.note([view.key, view.value, view.ttl, view.maxIdle, view.lastUpdateTime.gt(0)]);
});

onMap("entry-view-statistics", async (it, m) => {
  await m.put("k", 1);
  await m.get("k");
  const view = await m.getEntryView("k");
  it.note([view.hits, view.creationTime.gt(0), view.lastAccessTime.gt(0)]);
});

onMap("entry-view-version", async (it, m) => {
  await m.put("k", 1);
  await it.see(async () => (await m.getEntryView("k")).version);
});

onMap("destroy-and-use-again", async (it, m) => {
  await m.put("k", 1);
  await it.see(() => m.destroy());
  const again = await it.client.getMap(it.fresh());
  await it.see(() => again.get("k"));
  await it.see(() => again.put("k", 2));
});

onMap("of-another-client", async (it, m) => {
  const other = await (await it.another()).getMap(it.fresh());
  await m.put("k", 1);
  await it.see(() => other.get("k"));
  await it.see(() => other.replaceIfSame("k", 1, 2));
  await it.see(() => m.get("k"));
});

onMap("flush-load-index", async (it, m) => {
  await it.see(() => m.flush());
  await it.see(() => m.loadAll());
  await it.see(() => m.loadAll(["k"], true));
  await it.see(() => m.addIndex({ type: "SORTED", attributes: ["this"] }));
  await it.see(() => m.addIndex({ type: "HASH", attributes: ["a", "b"] }));
});

onMap("many-at-once", async (it, m) => {
  await Promise.all(Array.from({ length: 500 }, (_, n) => m.put(`k${n % 10}`, n)));
  await it.seeUnordered(() => m.getAll(["k0", "k9"]));
});

onMap("expiry-of-all-forms", async (it, m) => {
  await m.put("put", 1, 3000);
  await m.set("set", 1, 3000);
  await m.putIfAbsent("absent", 1, 3000);
  await m.putTransient("transient", 1, 3000);
  await m.put("idle", 1, 0, 3000);
  await m.set("stays", 1, 100_000);
  await it.seeUnordered(() => m.keySet());
  await sleep(4500);
  await it.seeUnordered(() => m.keySet());
  await it.see(() => m.get("put"));
  await it.see(() => m.get("idle"));
});

onMap("expiry-set-ttl", async (it, m) => {
  await it.see(() => m.setTtl("k", 5000));
  await m.put("k", 1);
  await it.see(() => m.setTtl("k", 100_000));
  await it.see(async () => (await m.getEntryView("k")).ttl);
  await it.see(() => m.setTtl("k", 1000));
  await it.wait(async () => (await m.get("k")) === null);
});

onMap("expiry-zero-and-negative", async (it, m) => {
  await m.put("zero", 1, 0);
  await m.put("negative", 1, -1);
  await m.put("idle", 1, 0, -1);
  await it.see(async () => (await m.getEntryView("zero")).ttl);
  await it.see(async () => (await m.getEntryView("negative")).ttl);
  await it.see(async () => (await m.getEntryView("idle")).maxIdle);
});

onMap("lock", async (it, m) => {
  const other = await (await it.another()).getMap(it.fresh());
  await m.put("k", 1);
  await it.see(() => m.lock("k"));
  await it.see(() => m.lock("k"));
  await it.see(() => m.isLocked("k"));
  await it.see(() => other.tryLock("k"));
  await it.see(() => other.tryLock("k", 100));
  await it.see(() => other.tryPut("k", 2, 100));
  await it.see(() => other.unlock("k"));
  await it.see(() => other.get("k"));
  await it.see(() => m.put("k", 3));
  await it.see(() => m.unlock("k"));
  await it.see(() => m.unlock("k"));
  await it.see(() => m.unlock("k"));
  await it.see(() => m.isLocked("k"));
});

onMap("lock-lease", async (it, m) => {
  await it.see(() => m.lock("k", 1000));
  await it.see(() => m.isLocked("k"));
  await it.wait(async () => !(await m.isLocked("k")));
  await it.see(() => m.unlock("k"));
  await it.see(() => m.tryLock("k", 1000, 1000));
});

onMap("lock-wakes-another-client", async (it, m) => {
  const other = await (await it.another()).getMap(it.fresh());
  await m.lock("k");
  let isDone = false;
  const waiting = other.put("k", 5).finally(() => (isDone = true));
  await sleep(300);
  it.note(isDone);
  await m.unlock("k");
  await it.see(() => waiting);
  await it.see(() => m.get("k"));
});

onMap("lock-ends-with-its-client", async (it, m) => {
  const other = await it.another();
  await (await other.getMap(it.fresh())).lock("k");
  await it.see(() => m.isLocked("k"));
  await other.shutdown();
  await it.wait(async () => !(await m.isLocked("k")));
});

onMap("force-unlock", async (it, m) => {
  const other = await (await it.another()).getMap(it.fresh());
  await m.lock("k");
  await it.see(() => other.forceUnlock("k"));
  await it.see(() => m.isLocked("k"));
});

for (const hasValue of [true, false]) {
  onMap(`listener-with${hasValue ? "" : "out"}-value`, async (it, m) => {
    const events = new Events();
    await m.addEntryListener(events.entries(), undefined, hasValue);
    await m.put("k", 1);
    await m.put("k", 2);
    await m.set("k", 3);
    await m.replace("k", 4);
    await m.replaceIfSame("k", 4, 5);
    await m.remove("k");
    await m.putIfAbsent("k", 6);
    await m.remove("k");
    await m.tryPut("k", 7, 0);
    await m.evict("k");
    await m.putTransient("k", 8);
    await m.remove("k", 8);
    await it.events(events, 12);
  });
}

onMap("listener-of-delete", async (it, m) => {
  const events = new Events();
  await m.addEntryListener(events.entries(), undefined, true);
  await m.put("k", 1);
  await m.delete("k");
  await it.events(events, 2);
});

onMap("listener-of-the-map", async (it, m) => {
  const events = new Events();
  const id = await m.addEntryListener(events.entries(), undefined, true);
  await m.putAll([["a", 1], ["b", 2]]);
  await it.eventsOfKeys(events, 2);
  await m.clear();
  await it.eventsOfKeys(events, 3);
  await m.put("c", 1);
  await m.evictAll();
  await it.eventsOfKeys(events, 5);
  await it.see(() => m.removeEntryListener(id));
  await it.see(() => m.removeEntryListener(id));
  await m.put("d", 1);
  await it.eventsOfKeys(events, 5);
});

onMap("listener-of-a-key-and-predicate", async (it, m) => {
  const [ofKey, ofPredicate, ofBoth] = [new Events(), new Events(), new Events()];
  const predicate = Predicates.greaterThan("this", 5);
  await m.addEntryListener(ofKey.entries(), "a", true);
  await m.addEntryListenerWithPredicate(ofPredicate.entries(), predicate, undefined, true);
  await m.addEntryListenerWithPredicate(ofBoth.entries(), predicate, "a", true);
  await m.put("a", 1);
  await m.put("a", 10);
  await m.put("b", 20);
  await m.put("b", 2);
  await m.remove("a");
  await it.events(ofKey, 3);
  await it.eventsOfKeys(ofPredicate, 3);
  await it.events(ofBoth, 2);
});

onMap("listener-of-expiry", async (it, m) => {
  const events = new Events();
  await m.addEntryListener(events.entries(), undefined, true);
  await m.put("k", 1, 1000);
  await it.wait(async () => (await m.get("k")) === null);
  await it.events(events, 2);
});

onMap("near-cache", async (it, m) => {
  const client = await it.another({ nearCaches: { [it.fresh()]: {} } });
  const near = await client.getMap(it.fresh());
  await m.put("k", 1);
  await it.see(() => near.get("k"));
  await it.see(() => near.get("k"));
  await m.put("k", 2);
  await it.wait(async () => (await near.get("k")) === 2);
  await m.remove("k");
  await it.wait(async () => (await near.get("k")) === null);
  await m.putAll([["k", 3]]);
  await it.wait(async () => (await near.get("k")) === 3);
  await m.clear();
  await it.wait(async () => (await near.get("k")) === null);
  await near.put("k", 4);
  await it.see(() => near.get("k"));
  await it.see(() => near.containsKey("k"));
});

const VALUES = {
  true: true,
  number: -5,
  "number-with-fraction": 1.5,
  "number-nan": NaN,
  "number-negative-zero": -0,
  "number-infinite": -Infinity,
  long: Long.fromString("9007199254740993"),
  bigint: 10n ** 30n,
  string: "grüße, 日本, \u{1F600}",
  "string-empty": "",
  "string-with-zero": "a\0b",
  buffer: Buffer.from([0, 1, 255]),
  "buffer-empty": Buffer.alloc(0),
  numbers: [1, 2.5],
  strings: ["a", ""],
  booleans: [true, false],
  objects: [{ a: 1 }, { b: [null] }],
  object: { a: { b: [1, null] } },
  date: new Date(1_700_000_000_000),
  uuid: new hazelcast.UUID(Long.fromNumber(1), Long.fromNumber(2)),
  "local-date": new hazelcast.LocalDate(2024, 2, 29),
  "local-time": new hazelcast.LocalTime(23, 59, 58, 7),
  "big-decimal": hazelcast.BigDecimal.fromString("-12345678901234567890.500"),
  json: new HazelcastJsonValue('{"a": [1, null]}'),
  portable: new PortablePerson("Ann", 30, true, 1.5),
  compact: new CompactPerson("Bob", 40, false, null),
  large: "x".repeat(3_000_000),
};

for (const [name, value] of Object.entries(VALUES)) {
  add(`types.${name}`, async (it) => {
    const m = await it.client.getMap(it.fresh());
    await it.see(() => m.put("k", value));
    await it.see(() => m.get("k"));
    await it.see(() => m.containsValue(value));
    await it.see(() => m.replaceIfSame("k", value, value));
    await it.see(() => m.remove("k", value));
    if (name === "large") return;
    await it.see(() => m.put(value, 1));
    await it.see(() => m.get(value));
    await it.see(() => m.keySet());
    await it.see(async () => text((await m.getEntryView(value)).key));
    await it.see(() => m.remove(value));
    await it.see(() => m.size());
  });
}

add("types.values-of-all-kinds-in-a-listener", async (it) => {
  const m = await it.client.getMap(it.fresh());
  const events = new Events();
  await m.addEntryListener(events.entries(), undefined, true);
  for (const name of ["true", "number", "object", "portable", "compact"]) await m.put("k", VALUES[name]);
  await it.events(events, 5);
  it.note(unordered(await m.values()));
});

onMap("refused", async (it, m) => {
  await it.see(() => m.executeOnKey("k", new Processor()));
  await it.see(() => m.executeOnKeys(["k"], new Processor()));
  await it.see(() => m.executeOnEntries(new Processor()));
  await it.see(() => m.executeOnEntries(new Processor(), Predicates.alwaysTrue()));
  await it.see(() => m.put("k", 1));
});
