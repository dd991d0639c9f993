"""Hazelcast's client for Python against a cluster: `hazelcast_python.py CLUSTER PORT...`, the name
of the cluster and the ports of its three members for such clients. The second member is killed when
the script prints READY; it goes on when it reads a line."""

import logging
import sys
import threading

import hazelcast
from hazelcast.core import HazelcastJsonValue
from hazelcast.errors import IllegalMonitorStateError, UnsupportedOperationError
from hazelcast.predicate import between, equal, paging

from checks import Checks, run

HOST = "127.0.0.1"
# Entries that are written before a member is killed.
ENTRIES = 500
# Time within which a refused client ends, in seconds.
REFUSED = 5


def connect(cluster, ports, **options):
    return hazelcast.HazelcastClient(
        cluster_name=cluster,
        cluster_members=[f"{HOST}:{port}" for port in ports],
        redo_operation=True,
        **options,
    )


def maps(checks: Checks, a, b):
    first, second = a.get_map("people").blocking(), b.get_map("people").blocking()
    checks.equal("put of a new key", first.put("ann", 1), None)
    checks.equal("put returns the value before", second.put("ann", 2), 1)
    checks.equal("get", first.get("ann"), 2)
    checks.equal("putIfAbsent", second.put_if_absent("ann", 3), 2)
    checks.equal("replaceIfSame", second.replace_if_same("ann", 2, 4), True)
    checks.equal("removeIfSame", first.remove_if_same("ann", 2), False)
    second.put_all({n: n * n for n in range(200)})
    checks.equal("getAll", first.get_all([1, 2, 3, 1000]), {1: 1, 2: 4, 3: 9})
    checks.equal("size", first.size(), 201)
    checks.equal("keySet", len(second.key_set()), 201)
    checks.equal("containsValue", first.contains_value(199 * 199), True)
    second.put("short", "lived", ttl=0.3)
    checks.eventually("the entry expires", lambda: first.get("short") is None)
    second.clear()
    checks.equal("isEmpty after clear", first.is_empty(), True)


def queries(checks: Checks, a, b):
    stored = a.get_map("cars").blocking()
    for n in range(50):
        stored.put(n, HazelcastJsonValue({"number": n, "colour": "red" if n % 2 else "blue"}))
    found = b.get_map("cars").blocking()
    checks.equal("equal", len(found.values(equal("colour", "red"))), 25)
    checks.equal("between", sorted(found.key_set(between("number", 10, 12))), [10, 11, 12])
    pages = paging(equal("colour", "blue"), 10)
    checks.equal("a page", len(found.key_set(pages)), 10)
    stored.clear()


def listeners(checks: Checks, a, b):
    seen = []
    watched = a.get_map("watched").blocking()
    watched.add_entry_listener(
        include_value=True,
        added_func=lambda event: seen.append(("added", event.key, event.value)),
        updated_func=lambda event: seen.append(("updated", event.key, event.value)),
        removed_func=lambda event: seen.append(("removed", event.key, event.old_value)),
    )
    other = b.get_map("watched").blocking()
    other.put("k", 1)
    other.put("k", 2)
    other.remove("k")
    checks.eventually("three events", lambda: len(seen) == 3)
    checks.equal("events", seen, [("added", "k", 1), ("updated", "k", 2), ("removed", "k", 2)])


def locks(checks: Checks, a, b):
    first, second = a.get_map("locks").blocking(), b.get_map("locks").blocking()
    first.lock("k")
    checks.equal("tryLock of a held lock", second.try_lock("k", timeout=0.1), False)
    try:
        second.unlock("k")
        checks.fail("unlock by another", "an error", "none")
    except IllegalMonitorStateError:
        checks.passed += 1
    written = threading.Thread(target=lambda: second.put("k", 1))
    written.start()
    written.join(0.3)
    checks.equal("a write waits", written.is_alive(), True)
    first.unlock("k")
    written.join(10)
    checks.equal("the write completes", first.get("k"), 1)


def structures(checks: Checks, a, b):
    queue, other = a.get_queue("jobs").blocking(), b.get_queue("jobs").blocking()
    taken = []
    taker = threading.Thread(target=lambda: taken.append(other.take()))
    taker.start()
    queue.offer("job")
    taker.join(10)
    checks.equal("take", taken, ["job"])
    checks.equal("poll of an empty queue", queue.poll(0), None)
    numbers = a.get_list("numbers").blocking()
    numbers.add_all([1, 2, 3])
    numbers.add_at(1, 9)
    checks.equal("list", list(b.get_list("numbers").blocking().get_all()), [1, 9, 2, 3])
    tags = a.get_set("tags").blocking()
    checks.equal("add to a set", (tags.add("x"), tags.add("x")), (True, False))
    multi = a.get_multi_map("multi").blocking()
    multi.put("k", 1)
    multi.put("k", 2)
    checks.equal("multimap", sorted(b.get_multi_map("multi").blocking().get("k")), [1, 2])
    a.get_replicated_map("replicated").blocking().put("k", "v")
    checks.equal("replicated map", b.get_replicated_map("replicated").blocking().get("k"), "v")
    received = []
    topic = a.get_topic("news").blocking()
    topic.add_listener(lambda message: received.append(message.message))
    b.get_topic("news").blocking().publish("one")
    checks.eventually("a message", lambda: received == ["one"])
    ring = a.get_ringbuffer("ring").blocking()
    ring.add("item")
    checks.equal("ringbuffer", b.get_ringbuffer("ring").blocking().read_one(0), "item")
    counter = a.get_pn_counter("counter").blocking()
    counter.add_and_get(5)
    checks.equal("counter", b.get_pn_counter("counter").blocking().subtract_and_get(2), 3)
    ids = a.get_flake_id_generator("ids").blocking()
    checks.equal("ids", len({ids.new_id() for _ in range(250)}), 250)


def unsupported(checks: Checks, a, _):
    atomic = a.get_map("people").blocking()
    try:
        atomic.add_interceptor(HazelcastJsonValue("{}"))
        checks.fail("an interceptor", "an error", "none")
    except UnsupportedOperationError:
        checks.passed += 1


def refused(checks: Checks, ports):
    try:
        connect("another", ports, cluster_connect_timeout=REFUSED).shutdown()
        checks.fail("another cluster's name", "an error", "none")
    except Exception as error:
        checks.holds("another cluster's name", "Unable to connect" in str(error), error)


def survives(checks: Checks, a, b):
    kept = a.get_map("kept").blocking()
    for n in range(ENTRIES):
        kept.set(n, n)
    seen = set()
    kept.add_entry_listener(added_func=lambda event: seen.add(event.key))
    print("READY", flush=True)
    sys.stdin.readline()
    other = b.get_map("kept").blocking()
    for n in range(ENTRIES, 2 * ENTRIES):
        other.set(n, n)
    checks.equal("nothing is lost", len(kept.key_set()), 2 * ENTRIES)
    checks.eventually("listeners go on", lambda: 2 * ENTRIES - 1 in seen)


def check(checks: Checks, cluster, ports):
    refused(checks, ports)
    for smart in (True, False):
        clients = [connect(cluster, ports[n:], smart_routing=smart) for n in (0, 2)]
        for part in (maps, queries, listeners, locks, structures, unsupported):
            checks.part = f"{part.__name__}, {'all members' if smart else 'one member'}"
            part(checks, *clients)
        if not smart:
            checks.part = "a killed member"
            survives(checks, *clients)
        for client in clients:
            for shared in client.get_distributed_objects():
                shared.destroy()
            client.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL)
    if len(sys.argv) != 5:
        sys.exit("expected the name of a cluster, and the ports of three members")
    run(
        f"hazelcast {hazelcast.__version__}",
        lambda checks: check(checks, sys.argv[1], [int(port) for port in sys.argv[2:]]),
    )
