// Queues, lists, sets, multimaps and ringbuffers.

import hazelcast from "hazelcast-client";
import { add, Events, sleep } from "./case.mjs";
import { CompactPerson } from "./objects.mjs";

// Declares a case with a fresh structure.
function on(kind, name, body) {
  const getter = { queue: "getQueue", list: "getList", set: "getSet", multimap: "getMultiMap", ringbuffer: "getRingbuffer" };
  add(`${kind}.${name}`, async (it) => body(it, await it.client[getter[kind]](it.fresh())));
}

on("queue", "offer-and-poll", async (it, q) => {
  await it.see(() => q.poll());
  await it.see(() => q.peek());
  await it.see(() => q.offer(1));
  await it.see(() => q.offer(2, 1000));
  await it.see(() => q.add(3));
  await it.see(() => q.put(4));
  await it.see(() => q.size());
  await it.see(() => q.remainingCapacity());
  await it.see(() => q.peek());
  await it.see(() => q.poll());
  await it.see(() => q.take());
  await it.see(() => q.poll(1000));
  await it.see(() => q.toArray());
  await it.see(() => q.clear());
  await it.see(() => q.poll(50));
  await it.see(() => q.isEmpty());
});

on("queue", "collections", async (it, q) => {
  await it.see(() => q.addAll(["a", "b", "c", "b"]));
  await it.see(() => q.addAll([]));
  await it.see(() => q.contains("b"));
  await it.see(() => q.containsAll(["a", "x"]));
  await it.see(() => q.containsAll([]));
  await it.see(() => q.remove("b"));
  await it.see(() => q.removeAll(["b", "x"]));
  await it.see(() => q.retainAll(["a"]));
  await it.see(() => q.retainAll(["a"]));
  await it.see(() => q.toArray());
});

on("queue", "drain", async (it, q) => {
  await q.addAll([1, 2, 3, 4]);
  const target = ["first"];
  await it.see(() => q.drainTo(target, 2));
  it.note(target);
  await it.see(() => q.drainTo(target, 0));
  await it.see(() => q.drainTo(target));
  await it.see(() => q.drainTo(target));
  it.note(target);
});

on("queue", "null-arguments", async (it, q) => {
  await it.see(() => q.offer(null));
  await it.see(() => q.addAll([1, null]));
  await it.see(() => q.contains(null));
  await it.see(() => q.size());
});

on("queue", "is-woken-by-another-client", async (it, q) => {
  const other = await (await it.another()).getQueue(it.fresh());
  let isDone = false;
  const polls = other.poll(10_000).finally(() => (isDone = true));
  await sleep(300);
  it.note(isDone);
  await q.offer("x");
  await it.see(() => polls);
  const takes = other.take();
  await sleep(300);
  await q.addAll(["y", "z"]);
  await it.see(() => takes);
  await it.see(() => q.poll());
});

on("queue", "listener", async (it, q) => {
  const [events, hidden] = [new Events(), new Events()];
  const id = await q.addItemListener(events.items(), true);
  await q.addItemListener(hidden.items(), false);
  await q.offer(1);
  await q.addAll([2, 3]);
  await q.poll();
  await q.remove(3);
  await q.clear();
  await it.events(events, 6);
  await it.events(hidden, 6);
  await it.see(() => q.removeItemListener(id));
  await it.see(() => q.removeItemListener(id));
});

on("queue", "destroy-and-use-again", async (it, q) => {
  await q.offer(1);
  await it.see(() => q.destroy());
  const again = await it.client.getQueue(it.fresh());
  await it.see(() => again.size());
  await it.see(() => again.offer(2));
});

on("queue", "items-of-all-kinds", async (it, q) => {
  await it.see(() => q.addAll(["", 1, 1.5, "x".repeat(1_000_000), new CompactPerson("Ann", 1, true, null)]));
  await it.see(() => q.contains(new CompactPerson("Ann", 1, true, null)));
  await it.see(() => q.toArray());
});

on("list", "add-and-get", async (it, l) => {
  await it.see(() => l.add("a"));
  await it.see(() => l.addAt(0, "first"));
  await it.see(() => l.addAll(["b", "a"]));
  await it.see(() => l.addAllAt(1, ["x", "y"]));
  await it.see(() => l.toArray());
  await it.see(() => l.get(1));
  await it.see(() => l.set(1, "X"));
  await it.see(() => l.indexOf("a"));
  await it.see(() => l.lastIndexOf("a"));
  await it.see(() => l.indexOf("none"));
  await it.see(() => l.removeAt(0));
  await it.see(() => l.remove("a"));
  await it.see(() => l.remove("none"));
  await it.see(() => l.subList(1, 3));
  await it.see(() => l.contains("y"));
  await it.see(() => l.containsAll(["y", "none"]));
  await it.see(() => l.removeAll(["y"]));
  await it.see(() => l.retainAll(["b"]));
  await it.see(() => l.size());
  await it.see(() => l.clear());
  await it.see(() => l.isEmpty());
});

on("list", "bounds", async (it, l) => {
  await it.see(() => l.get(0));
  await l.addAll([1, 2, 3]);
  await it.see(() => l.get(-1));
  await it.see(() => l.get(3));
  await it.see(() => l.addAt(4, 9));
  await it.see(() => l.set(3, 9));
  await it.see(() => l.removeAt(3));
  await it.see(() => l.subList(3, 1));
  await it.see(() => l.subList(0, 4));
  await it.see(() => l.subList(-1, 2));
  await it.see(() => l.addAllAt(9, [9]));
  await it.see(() => l.toArray());
});

on("list", "negative-index", async (it, l) => {
  await l.addAll([1, 2, 3]);
  await it.see(() => l.addAt(-1, 9));
  await it.see(() => l.toArray());
});

on("list", "listener", async (it, l) => {
  const events = new Events();
  const id = await l.addItemListener(events.items(), true);
  await l.add("a");
  await l.set(0, "b");
  await l.addAll(["c", "d"]);
  await l.clear();
  await it.eventsOfKeys(events, 8);
  await it.see(() => l.removeItemListener(id));
  await it.see(() => l.removeItemListener(id));
});

on("set", "operations", async (it, s) => {
  await it.see(() => s.add(1));
  await it.see(() => s.add(1));
  await it.see(() => s.addAll([1, 2]));
  await it.see(() => s.addAll([1, 2]));
  await it.see(() => s.contains(2));
  await it.see(() => s.containsAll([1, 3]));
  await it.seeUnordered(() => s.toArray());
  await it.see(() => s.remove(1));
  await it.see(() => s.remove(1));
  await it.see(() => s.retainAll([2]));
  await it.see(() => s.removeAll([2]));
  await it.see(() => s.isEmpty());
  await it.see(() => s.add(null));
});

on("set", "listener", async (it, s) => {
  const events = new Events();
  const id = await s.addItemListener(events.items(), true);
  await s.add("a");
  await s.add("a");
  await s.remove("a");
  await s.addAll(["b", "c"]);
  await s.clear();
  await it.eventsOfKeys(events, 6);
  await it.see(() => s.removeItemListener(id));
});

on("multimap", "operations", async (it, m) => {
  await it.see(() => m.put("k", 1));
  await it.see(() => m.put("k", 1));
  await it.see(() => m.put("k", 2));
  await it.see(() => m.putAll([["l", [4, 5]], ["m", [3]]]));
  await it.seeUnordered(() => m.get("k"));
  await it.seeUnordered(() => m.get("none"));
  await it.see(() => m.valueCount("k"));
  await it.see(() => m.size());
  await it.seeUnordered(() => m.keySet());
  await it.seeUnordered(() => m.values());
  await it.seeUnordered(() => m.entrySet());
  await it.see(() => m.containsKey("k"));
  await it.see(() => m.containsValue(3));
  await it.see(() => m.containsEntry("k", 3));
  await it.see(() => m.remove("k", 1));
  await it.see(() => m.remove("k", 9));
  await it.seeUnordered(() => m.removeAll("l"));
  await it.see(() => m.clear());
  await it.see(() => m.size());
  await it.see(() => m.put(null, 1));
});

on("multimap", "locks", async (it, m) => {
  const other = await (await it.another()).getMultiMap(it.fresh());
  await m.lock("k");
  await it.see(() => other.tryLock("k"));
  await it.see(() => other.unlock("k"));
  await it.see(() => m.isLocked("k"));
  let isDone = false;
  const waiting = other.put("k", 1).finally(() => (isDone = true));
  await sleep(300);
  it.note(isDone);
  await it.see(() => m.unlock("k"));
  await it.see(() => waiting);
  await it.see(() => m.lock("k", 1000));
  await it.wait(async () => !(await m.isLocked("k")));
});

on("multimap", "listener", async (it, m) => {
  const events = new Events();
  const id = await m.addEntryListener(events.entries(), undefined, true);
  await m.put("k", 1);
  await m.put("k", 2);
  await m.remove("k", 1);
  await m.removeAll("k");
  await m.put("l", 1);
  await m.clear();
  await it.events(events, 6);
  await it.see(() => m.removeEntryListener(id));
});

on("ringbuffer", "operations", async (it, r) => {
  const { FAIL, OVERWRITE } = hazelcast.OverflowPolicy;
  await it.see(() => r.capacity());
  await it.see(() => r.tailSequence());
  await it.see(() => r.headSequence());
  await it.see(() => r.add("a"));
  await it.see(() => r.add("b", FAIL));
  await it.see(() => r.addAll(["c", "d"], OVERWRITE));
  await it.see(() => r.readOne(0));
  await it.see(() => r.readOne(-1));
  await it.see(() => r.readOne(5));
  await it.see(() => r.size());
  await it.see(() => r.remainingCapacity());
  await it.see(() => r.readMany(0, 1, 10));
  await it.see(() => r.readMany(4, 0, 10));
  await it.see(() => r.readMany(9, 0, 10));
  await it.see(() => r.readMany(0, 5, 3));
  await it.see(() => r.readMany(-2, 0, 2));
  const result = await r.readMany(1, 1, 2);
  it.note([result.getReadCount(), result.size(), result.getNextSequenceToReadFrom(), result.getSequence(1)]);
});

on("ringbuffer", "add-all-of-nothing", async (it, r) => it.see(() => r.addAll([])));

on("ringbuffer", "is-woken", async (it, r) => {
  const other = await (await it.another()).getRingbuffer(it.fresh());
  let isDone = false;
  const waiting = other.readOne(0).finally(() => (isDone = true));
  await sleep(300);
  it.note(isDone);
  await r.add("x");
  await it.see(() => waiting);
});
