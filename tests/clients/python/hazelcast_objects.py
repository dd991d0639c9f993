"""hazelcast-python-client: maps with listeners and locks, queues, lists, sets, multimaps,
replicated maps, topics, counters and ids."""

import os
import threading

import hazelcast

import job

# An invocation is repeated for this long, in seconds.
RETRIES = 20

client = hazelcast.HazelcastClient(
    cluster_name=os.environ["CONVOKE_CLUSTER"],
    cluster_members=[f"{job.HOST}:{port}" for port in job.PORTS],
    smart_routing=job.MODE != "one",
    invocation_timeout=RETRIES,
    redo_operation=True,
)
entries = client.get_map("entries").blocking()
added = {}
entries.add_entry_listener(
    include_value=True, added_func=lambda event: added.update({event.key: event.value})
)
received = {}
topic = client.get_topic("news").blocking()
topic.add_listener(lambda message: received.update({message.message: True}))
locks = client.get_map("locks").blocking()
queue = client.get_queue("queue").blocking()
collected = client.get_list("list").blocking()
members = client.get_set("set").blocking()
multi = client.get_multi_map("multi").blocking()
replicated = client.get_replicated_map("replicated").blocking()
counter = client.get_pn_counter("counter").blocking()
ids = client.get_flake_id_generator("ids").blocking()
acknowledged = {}
seen_ids = set()
lock = threading.Lock()


def step(n):
    key = f"key-{n}"
    entries.set(key, n, ttl=600)
    acknowledged[key] = n
    job.check(entries.get(key) == n, "get returns what was set")
    # An event may be lost with the member that sends it.
    if n % 10 == 0 and job.MODE == "one":
        job.wait_for("event", lambda: added.get(key) == n)
    name = f"lock-{n % 7}"
    job.check(locks.try_lock(name, lease_time=10, timeout=10), "a free lock is refused")
    locks.unlock(name)
    queue.offer(n)
    job.check(queue.poll(5) is not None, "the queue is empty")
    collected.add(n)
    members.add(n % 10)
    multi.put(n % 10, n)
    job.check(n in multi.get(n % 10), "the multimap lacks a value")
    replicated.put(n % 10, n)
    job.check(replicated.get(n % 10) == n, "the replicated map lacks a value")
    counter.add_and_get(1)
    number = ids.new_id()
    with lock:
        job.check(number not in seen_ids, "an id was handed out twice")
        seen_ids.add(number)
    topic.publish(n)
    job.wait_for("message", lambda: n in received, 5)


def verify():
    for key, value in acknowledged.items():
        got = entries.get(key)
        job.check(got == value, f"{key} is {got!r}, not {value!r}")
    job.check(members.size() == 10, "the set has lost an element")


job.run(step, verify)
