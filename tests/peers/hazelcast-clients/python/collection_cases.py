"""Queues, lists, sets, multimaps and ringbuffers."""

import time

from hazelcast.proxy.ringbuffer import OVERFLOW_POLICY_FAIL, OVERFLOW_POLICY_OVERWRITE

import objects
from case import Events, case


def on(kind, name):
    """Declares a case with a fresh structure."""

    def declare(body):
        def run(it):
            body(it, getattr(it.client, "get_" + kind)(it.fresh()).blocking())

        case(f"{kind.replace('multi_map', 'multimap')}.{name}")(run)
        return body

    return declare


def listen(structure, include_value=True):
    events = Events()
    registration = structure.add_listener(
        include_value=include_value,
        item_added_func=events.items("added"),
        item_removed_func=events.items("removed"),
    )
    return events, registration


@on("queue", "offer-and-poll")
def _(it, q):
    it.see(q.poll)
    it.see(q.peek)
    it.see(q.offer, 1)
    it.see(q.offer, 2, 1)
    it.see(q.add, 3)
    it.see(q.put, 4)
    it.see(q.size)
    it.see(q.remaining_capacity)
    it.see(q.peek)
    it.see(q.poll)
    it.see(q.take)
    it.see(q.poll, 1)
    it.see(q.iterator)
    it.see(q.clear)
    it.see(q.poll, 0.05)
    it.see(q.is_empty)


@on("queue", "collections")
def _(it, q):
    it.see(q.add_all, ["a", "b", "c", "b"])
    it.see(q.add_all, [])
    it.see(q.contains, "b")
    it.see(q.contains_all, ["a", "x"])
    it.see(q.contains_all, [])
    it.see(q.remove, "b")
    it.see(q.remove_all, ["b", "x"])
    it.see(q.retain_all, ["a"])
    it.see(q.retain_all, ["a"])
    it.see(q.iterator)


@on("queue", "drain")
def _(it, q):
    q.add_all([1, 2, 3, 4])
    target = ["first"]
    it.see(q.drain_to, target, 2)
    it.note(target)
    it.see(q.drain_to, target, 0)
    it.see(q.drain_to, target)
    it.see(q.drain_to, target)
    it.note(target)


@on("queue", "null-arguments")
def _(it, q):
    it.see(q.offer, None)
    it.see(q.add_all, [1, None])
    it.see(q.contains, None)
    it.see(q.remove, None)
    it.see(q.size)


@on("queue", "is-woken-by-another-client")
def _(it, q):
    other = it.another().get_queue(it.fresh()).blocking()
    polls = it.start(other.poll, 10)
    time.sleep(0.3)
    it.note(polls.is_done())
    q.offer("x")
    it.see(polls.result)
    takes = it.start(other.take)
    time.sleep(0.3)
    q.add_all(["y", "z"])
    it.see(takes.result)
    it.see(q.poll)


@on("queue", "listener")
def _(it, q):
    events, registration = listen(q)
    hidden, _ = listen(q, False)
    q.offer(1)
    q.add_all([2, 3])
    q.poll()
    q.remove(3)
    q.clear()
    it.events(events, 6)
    it.events(hidden, 6)
    it.see(q.remove_listener, registration)
    it.see(q.remove_listener, registration)


@on("queue", "destroy-and-use-again")
def _(it, q):
    q.offer(1)
    it.see(q.destroy)
    again = it.client.get_queue(it.fresh()).blocking()
    it.see(again.size)
    it.see(again.offer, 2)


@on("queue", "items-of-all-kinds")
def _(it, q):
    it.see(q.add_all, ["", 1, 2**40, 1.5, "x" * 1_000_000, objects.CompactPerson("Ann", 1, True, None)])
    it.see(q.contains, objects.CompactPerson("Ann", 1, True, None))
    it.see(q.iterator)


@on("list", "add-and-get")
def _(it, items):
    it.see(items.add, "a")
    it.see(items.add_at, 0, "first")
    it.see(items.add_all, ["b", "a"])
    it.see(items.add_all_at, 1, ["x", "y"])
    it.see(items.get_all)
    it.see(items.get, 1)
    it.see(items.set_at, 1, "X")
    it.see(items.index_of, "a")
    it.see(items.last_index_of, "a")
    it.see(items.index_of, "none")
    it.see(items.remove_at, 0)
    it.see(items.remove, "a")
    it.see(items.remove, "none")
    it.see(items.sub_list, 1, 3)
    it.see(items.contains, "y")
    it.see(items.contains_all, ["y", "none"])
    it.see(items.remove_all, ["y"])
    it.see(items.retain_all, ["b"])
    it.see(items.iterator)
    it.see(items.list_iterator, 1)
    it.see(items.size)
    it.see(items.clear)
    it.see(items.is_empty)


@on("list", "bounds")
def _(it, items):
    it.see(items.get, 0)
    items.add_all([1, 2, 3])
    it.see(items.get, -1)
    it.see(items.get, 3)
    it.see(items.add_at, 4, 9)
    it.see(items.set_at, 3, 9)
    it.see(items.remove_at, 3)
    it.see(items.sub_list, 3, 1)
    it.see(items.sub_list, 0, 4)
    it.see(items.sub_list, -1, 2)
    it.see(items.add_all_at, 9, [9])
    it.see(items.get_all)


@on("list", "negative-index")
def _(it, items):
    items.add_all([1, 2, 3])
    it.see(items.add_at, -1, 9)
    it.see(items.get_all)


@on("list", "iterator-beyond-the-end")
def _(it, items):
    it.see(items.list_iterator, 9)


@on("list", "listener")
def _(it, items):
    events, registration = listen(items)
    items.add("a")
    items.set_at(0, "b")
    items.add_all(["c", "d"])
    items.clear()
    it.events_of_keys(events, 8)
    it.see(items.remove_listener, registration)
    it.see(items.remove_listener, registration)


@on("set", "operations")
def _(it, members):
    it.see(members.add, 1)
    it.see(members.add, 1)
    it.see(members.add_all, [1, 2])
    it.see(members.add_all, [1, 2])
    it.see(members.contains, 2)
    it.see(members.contains_all, [1, 3])
    it.see_unordered(members.get_all)
    it.see(members.remove, 1)
    it.see(members.remove, 1)
    it.see(members.retain_all, [2])
    it.see(members.remove_all, [2])
    it.see(members.is_empty)
    it.see(members.add, None)


@on("set", "listener")
def _(it, members):
    events, registration = listen(members)
    members.add("a")
    members.add("a")
    members.remove("a")
    members.add_all(["b", "c"])
    members.clear()
    it.events_of_keys(events, 6)
    it.see(members.remove_listener, registration)


@on("multi_map", "operations")
def _(it, m):
    it.see(m.put, "k", 1)
    it.see(m.put, "k", 1)
    it.see(m.put, "k", 2)
    it.see(m.put_all, {"l": [4, 5], "m": [3]})
    it.see_unordered(m.get, "k")
    it.see_unordered(m.get, "none")
    it.see(m.value_count, "k")
    it.see(m.size)
    it.see_unordered(m.key_set)
    it.see_unordered(m.values)
    it.see_unordered(m.entry_set)
    it.see(m.contains_key, "k")
    it.see(m.contains_value, 3)
    it.see(m.contains_entry, "k", 3)
    it.see(m.remove, "k", 1)
    it.see(m.remove, "k", 9)
    it.see_unordered(m.remove_all, "l")
    it.see(m.clear)
    it.see(m.size)
    it.see(m.put, None, 1)


@on("multi_map", "locks")
def _(it, m):
    m.lock("k")
    it.see_elsewhere(m.try_lock, "k")
    it.see_elsewhere(m.unlock, "k")
    it.see(m.is_locked, "k")
    waiting = it.start(m.put, "k", 1)
    time.sleep(0.3)
    it.note(waiting.is_done())
    it.see(m.unlock, "k")
    it.see(waiting.result)
    it.see(m.lock, "k", 1)
    it.wait(lambda: not m.is_locked("k"))


@on("multi_map", "listener")
def _(it, m):
    events = Events()
    registration = m.add_entry_listener(
        include_value=True,
        added_func=events.named("added"),
        removed_func=events.named("removed"),
        clear_all_func=events.of_map("cleared"),
    )
    m.put("k", 1)
    m.put("k", 2)
    m.remove("k", 1)
    m.remove_all("k")
    m.put("l", 1)
    m.clear()
    it.distinct_events(events, 6)
    it.see(m.remove_entry_listener, registration)


@on("ringbuffer", "operations")
def _(it, ring):
    it.see(ring.capacity)
    it.see(ring.tail_sequence)
    it.see(ring.head_sequence)
    it.see(ring.add, "a")
    it.see(ring.add, "b", OVERFLOW_POLICY_FAIL)
    it.see(ring.add_all, ["c", "d"], OVERFLOW_POLICY_OVERWRITE)
    it.see(ring.add_all, [])
    it.see(ring.read_one, 0)
    it.see(ring.read_one, -1)
    it.see(ring.read_one, 5)
    it.see(ring.size)
    it.see(ring.remaining_capacity)
    it.see(ring.read_many, 0, 1, 10)
    it.see(ring.read_many, 4, 0, 10)
    it.see(ring.read_many, 9, 0, 10)
    it.see(ring.read_many, 0, 5, 3)
    it.see(ring.read_many, -2, 0, 2)
    it.see(ring.read_many, 0, 0, 2000)


@on("ringbuffer", "read-result")
def _(it, ring):
    ring.add_all([1, 2, 3])
    result = ring.read_many(1, 1, 10)
    it.note([result[0], result[1]])
    it.note((result.read_count, result.size, result.next_sequence_to_read_from, result.get_sequence(1)))


@on("ringbuffer", "is-woken")
def _(it, ring):
    other = it.another().get_ringbuffer(it.fresh()).blocking()
    waiting = it.start(other.read_one, 0)
    time.sleep(0.3)
    it.note(waiting.is_done())
    ring.add("x")
    it.see(waiting.result)
