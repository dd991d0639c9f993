// Replicated maps, reliable topics, counters, ids, and the client itself.

import hazelcast from "hazelcast-client";
import { add, config, Events, unordered } from "./case.mjs";
import { CompactPerson } from "./objects.mjs";

const { Predicates } = hazelcast;

const IMPATIENT = { connectionStrategy: { connectionRetry: { clusterConnectTimeoutMillis: 1500 } } };

function replicated(name, body) {
  add(`replicated.${name}`, async (it) => body(it, await it.client.getReplicatedMap(it.fresh())));
}

replicated("operations", async (it, m) => {
  await it.see(() => m.get("k"));
  await it.see(() => m.put("k", 1));
  await it.see(() => m.put("k", 2));
  await it.see(() => m.putAll([["a", 1], ["b", 2]]));
  await it.wait(async () => (await m.size()) === 3);
  await it.see(() => m.get("k"));
  await it.seeUnordered(() => m.keySet());
  await it.seeUnordered(() => m.values());
  await it.see(() => m.values((one, two) => two - one));
  await it.seeUnordered(() => m.entrySet());
  await it.see(() => m.containsKey("a"));
  await it.see(() => m.containsValue(2));
  await it.see(() => m.remove("a"));
  await it.see(() => m.remove("a"));
  await it.see(() => m.clear());
  await it.wait(() => m.isEmpty());
  await it.see(() => m.put(null, 1));
});

replicated("time-to-live", async (it, m) => {
  await it.see(() => m.put("k", 1, 1000));
  await it.wait(async () => (await m.get("k")) === null);
});

replicated("listener", async (it, m) => {
  const [all, ofPredicate, ofKey] = [new Events(), new Events(), new Events()];
  const id = await m.addEntryListener(all.entries());
  await m.addEntryListenerWithPredicate(ofPredicate.entries(), Predicates.greaterThan("this", 1));
  await m.addEntryListenerToKey(ofKey.entries(), "l");
  await m.put("k", 1);
  await m.put("k", 2);
  await m.remove("k");
  await it.events(all, 3);
  await it.events(ofPredicate, 2);
  await it.events(ofKey, 0);
  await m.clear();
  await it.events(all, 4);
  await it.see(() => m.removeEntryListener(id));
  await it.see(() => m.removeEntryListener(id));
});

add("reliable-topic.publish", async (it) => {
  const topic = await it.client.getReliableTopic(it.fresh());
  const events = new Events();
  const id = topic.addMessageListener((message) => events.add("message", message.messageObject));
  await it.see(() => topic.publish("a"));
  await it.see(() => topic.publish({ a: 1 }));
  await it.events(events, 2);
  await it.see(() => topic.removeMessageListener(id));
  await it.see(() => topic.removeMessageListener(id));
  await topic.publish("b");
  await it.events(events, 2);
});

add("reliable-topic.several-clients-and-order", async (it) => {
  const topic = await it.client.getReliableTopic(it.fresh());
  const other = await (await it.another()).getReliableTopic(it.fresh());
  const events = new Events();
  await other.publish("first");
  other.addMessageListener((message) => events.add("message", message.messageObject));
  // The listener begins after the tail that it reads first.
  for (let number = 0; events.texts.length === 0 && number < 500; number++) await topic.publish(0);
  events.texts.length = 0;
  for (let number = 1; number <= 50; number++) await topic.publish(number);
  await it.wait(() => events.texts.at(-1) === "message 50");
  it.note(events.texts.slice(-50));
});

add("counter.operations", async (it) => {
  const counter = await it.client.getPNCounter(it.fresh());
  await it.see(() => counter.get());
  await it.see(() => counter.addAndGet(5));
  await it.see(() => counter.getAndAdd(3));
  await it.see(() => counter.incrementAndGet());
  await it.see(() => counter.getAndIncrement());
  await it.see(() => counter.decrementAndGet());
  await it.see(() => counter.getAndDecrement());
  await it.see(() => counter.subtractAndGet(10));
  await it.see(() => counter.getAndSubtract(-4));
  await it.see(() => counter.get());
  await it.see(() => counter.reset());
});

add("ids.are-unique", async (it) => {
  const ids = await it.client.getFlakeIdGenerator(it.fresh());
  const others = await (await it.another()).getFlakeIdGenerator(it.fresh());
  const seen = new Set();
  for (let count = 0; count < 200; count++) {
    seen.add((await ids.newId()).toString());
    seen.add((await others.newId()).toString());
  }
  it.note(seen.size);
});

add("client.wrong-cluster-name", (it) => it.see(() => it.another({ ...IMPATIENT, clusterName: "wrong" })));

add("client.password-without-need", async (it) => {
  const security = { usernamePassword: { username: "someone", password: "secret" } };
  await it.see(async () => {
    const other = await it.another({ ...IMPATIENT, security });
    return (await other.getMap(it.fresh())).put("k", 1);
  });
});

add("client.one-address-only", async (it) => {
  const network = { ...config().network, smartRouting: false };
  const other = await it.another({ network });
  const m = await other.getMap(it.fresh());
  await it.see(() => m.put("k", 1));
  await it.see(() => m.get("k"));
});

add("client.lifecycle", async (it) => {
  const states = [];
  const other = await it.another({ lifecycleListeners: [(state) => states.push(state)] });
  await it.see(() => other.getLifecycleService().isRunning());
  const m = await other.getMap(it.fresh());
  await other.shutdown();
  await it.see(() => other.getLifecycleService().isRunning());
  await it.see(() => m.get("k"));
  it.note(states);
});

add("client.members", async (it) => {
  const members = it.client.getCluster().getMembers();
  it.note(members.length);
  it.note(members.every((member) => member.address.host === "127.0.0.1"));
  const id = it.client.getCluster().addMembershipListener({});
  await it.see(() => it.client.getCluster().removeMembershipListener(id));
  await it.see(() => it.client.getCluster().removeMembershipListener(id));
});

add("client.partitions", async (it) => {
  const service = it.client.getPartitionService();
  await it.see(() => service.getPartitionCount());
  for (const key of ["a", "", "schön", 1, 1.5, true]) await it.see(() => service.getPartitionId(key));
});

add("client.distributed-objects", async (it) => {
  await (await it.client.getMap(it.fresh("-map"))).put("k", 1);
  await (await it.client.getQueue(it.fresh("-queue"))).offer(1);
  const own = it.fresh();
  const all = await (await it.another()).getDistributedObjects();
  const found = all.filter((one) => one.getName().startsWith(own));
  it.note(unordered(found.map((one) => one.getServiceName() + one.getName().slice(own.length))));
});

add("client.distributed-object-listener", async (it) => {
  const events = new Events();
  const other = await it.another();
  const id = await other.addDistributedObjectListener((event) => {
    if (event.objectName === it.fresh()) events.add(event.eventType, event.serviceName);
  });
  const m = await it.client.getMap(it.fresh());
  await it.events(events, 1);
  await m.destroy();
  await it.events(events, 2);
  await it.see(() => other.removeDistributedObjectListener(id));
  await it.see(() => other.removeDistributedObjectListener(id));
});

add("client.refused", async (it) => {
  await it.see(async () => (await it.client.getSql().execute("SELECT 1")).isRowSet());
  const subsystem = it.client.getCPSubsystem();
  await it.see(async () => (await subsystem.getAtomicLong("a")).incrementAndGet());
  await it.see(async () => (await subsystem.getLock("l")).tryLock());
  await it.see(async () => (await it.client.getMap(it.fresh())).put("k", new CompactPerson("Ann", 1, true, null)));
});
