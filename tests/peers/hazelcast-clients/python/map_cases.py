"""Maps: single entries, several, lifetimes, locks, listeners, near caches, and what is refused."""

import datetime
import decimal
import time
import uuid

from hazelcast import predicate
from hazelcast.config import IndexType
from hazelcast.core import HazelcastJsonValue

import objects
from case import Events, case, text


def on_map(name):
    """Declares a case with a fresh map."""

    def declare(body):
        case("map." + name)(lambda it: body(it, it.client.get_map(it.fresh()).blocking()))
        return body

    return declare


def listen(entries, include_value=True, **more):
    events = Events()
    registration = entries.add_entry_listener(
        include_value=include_value,
        added_func=events.named("added"),
        removed_func=events.named("removed"),
        updated_func=events.named("updated"),
        evicted_func=events.named("evicted"),
        expired_func=events.named("expired"),
        loaded_func=events.named("loaded"),
        clear_all_func=events.of_map("cleared"),
        evict_all_func=events.of_map("all-evicted"),
        **more,
    )
    return events, registration


@on_map("put-get-remove")
def _(it, m):
    it.see(m.put, "k", 1)
    it.see(m.put, "k", 2)
    it.see(m.get, "k")
    it.see(m.contains_key, "k")
    it.see(m.remove, "k")
    it.see(m.remove, "k")
    it.see(m.get, "k")
    it.see(m.size)
    it.see(m.is_empty)


@on_map("conditions")
def _(it, m):
    it.see(m.put_if_absent, "k", 1)
    it.see(m.put_if_absent, "k", 2)
    it.see(m.replace, "k", 3)
    it.see(m.replace, "none", 3)
    it.see(m.replace_if_same, "k", 9, 4)
    it.see(m.replace_if_same, "k", 3, 4)
    it.see(m.remove_if_same, "k", 9)
    it.see(m.remove_if_same, "k", 4)
    it.see(m.set, "k", 5)
    it.see(m.delete, "k")
    it.see(m.delete, "k")


@on_map("try-and-transient")
def _(it, m):
    it.see(m.try_put, "k", 1, 1)
    it.see(m.try_put, "k", 2)
    it.see(m.get, "k")
    it.see(m.try_remove, "k", 1)
    it.see(m.try_remove, "k")
    it.see(m.put_transient, "k", 1)
    it.see(m.put_transient, "k", 2, ttl=100, max_idle=50)
    it.see(lambda: m.get_entry_view("k").max_idle)


@on_map("all-entries")
def _(it, m):
    it.see(m.put_all, {f"k{n}": n for n in range(200)})
    it.see(m.size)
    it.see(m.get_all, ["k1", "k2", "none"])
    it.see(m.get_all, [])
    it.see_unordered(m.key_set)
    it.see_unordered(m.values)
    it.see_unordered(m.entry_set)
    it.see(m.contains_value, 5)
    it.see(m.contains_value, 500)
    it.see(m.clear)
    it.see(m.size)
    it.see(m.put_all, {})


@on_map("evict")
def _(it, m):
    m.put_all({"a": 1, "b": 2})
    it.see(m.evict, "a")
    it.see(m.evict, "a")
    it.see(m.evict_all)
    it.see(m.size)


@on_map("null-arguments")
def _(it, m):
    it.see(m.put, None, 1)
    it.see(m.put, "k", None)
    it.see(m.get, None)
    it.see(m.set, "k", None)
    it.see(m.contains_value, None)
    it.see(m.replace_if_same, "k", None, 1)
    it.see(m.lock, None)
    it.see(m.size)


@on_map("entry-view")
def _(it, m):
    it.see(m.get_entry_view, "k")
    m.put("k", 1, ttl=100, max_idle=50)
    m.get("k")
    view = m.get_entry_view("k")
    it.note((view.key, view.value, view.ttl, view.max_idle, view.last_update_time > 0))


@on_map("entry-view-statistics")
def _(it, m):
    m.put("k", 1)
    m.get("k")
    view = m.get_entry_view("k")
    it.note((view.hits, view.creation_time > 0, view.last_access_time > 0))


@on_map("entry-view-version")
def _(it, m):
    m.put("k", 1)
    it.see(lambda: m.get_entry_view("k").version)


@on_map("destroy-and-use-again")
def _(it, m):
    m.put("k", 1)
    it.see(m.destroy)
    again = it.client.get_map(it.fresh()).blocking()
    it.see(again.get, "k")
    it.see(again.put, "k", 2)


@on_map("of-another-client")
def _(it, m):
    other = it.another().get_map(it.fresh()).blocking()
    m.put("k", 1)
    it.see(other.get, "k")
    it.see(other.replace_if_same, "k", 1, 2)
    it.see(m.get, "k")


@on_map("flush-load-index")
def _(it, m):
    it.see(m.flush)
    it.see(m.load_all)
    it.see(m.load_all, ["k"])
    it.see(m.add_index, ["this"], IndexType.SORTED)
    it.see(m.add_index, ["a", "b"], IndexType.HASH)
    it.see(m.add_index, [])


@on_map("many-at-once")
def _(it, m):
    plain = it.client.get_map(it.fresh())
    futures = [plain.put(f"k{n % 10}", n) for n in range(500)]
    for future in futures:
        future.result()
    it.see(m.get_all, ["k0", "k9"])


@on_map("expiry-of-all-forms")
def _(it, m):
    m.put("put", 1, ttl=3)
    m.set("set", 1, ttl=3)
    m.put_if_absent("absent", 1, ttl=3)
    m.put_transient("transient", 1, ttl=3)
    m.put("idle", 1, max_idle=3)
    m.set("stays", 1, ttl=100)
    it.see_unordered(m.key_set)
    time.sleep(4.5)
    it.see_unordered(m.key_set)
    it.see(m.get, "put")
    it.see(m.get, "idle")


@on_map("expiry-set-ttl")
def _(it, m):
    it.see(m.set_ttl, "k", 5)
    m.put("k", 1)
    it.see(m.set_ttl, "k", 100)
    it.see(lambda: m.get_entry_view("k").ttl)
    it.see(m.set_ttl, "k", 1)
    it.wait(lambda: m.get("k") is None)


@on_map("expiry-zero-and-negative")
def _(it, m):
    m.put("zero", 1, ttl=0)
    m.put("negative", 1, ttl=-1)
    m.put("idle", 1, max_idle=-1)
    it.see(lambda: m.get_entry_view("zero").ttl)
    it.see(lambda: m.get_entry_view("negative").ttl)
    it.see(lambda: m.get_entry_view("idle").max_idle)


@on_map("lock")
def _(it, m):
    m.put("k", 1)
    it.see(m.lock, "k")
    it.see(m.lock, "k")
    it.see(m.is_locked, "k")
    it.see_elsewhere(m.try_lock, "k")
    it.see_elsewhere(m.try_lock, "k", timeout=0.1)
    it.see_elsewhere(m.try_put, "k", 2, 0.1)
    it.see_elsewhere(m.unlock, "k")
    it.see_elsewhere(m.get, "k")
    it.see(m.put, "k", 3)
    it.see(m.unlock, "k")
    it.see(m.unlock, "k")
    it.see(m.unlock, "k")
    it.see(m.is_locked, "k")


@on_map("lock-lease")
def _(it, m):
    it.see(m.lock, "k", 1)
    it.see(m.is_locked, "k")
    it.wait(lambda: not m.is_locked("k"))
    it.see(m.unlock, "k")
    it.see(m.try_lock, "k", 1, 1)
    it.see_elsewhere(m.try_lock, "k", None, 5)


@on_map("lock-wakes-another-client")
def _(it, m):
    other = it.another().get_map(it.fresh()).blocking()
    m.lock("k")
    waiting = it.start(other.put, "k", 5)
    time.sleep(0.3)
    it.note(waiting.is_done())
    m.unlock("k")
    it.see(waiting.result)
    it.see(m.get, "k")


@on_map("lock-ends-with-its-client")
def _(it, m):
    other = it.another()
    other.get_map(it.fresh()).blocking().lock("k")
    it.see(m.is_locked, "k")
    other.shutdown()
    it.wait(lambda: not m.is_locked("k"))


@on_map("force-unlock")
def _(it, m):
    m.lock("k")
    it.see_elsewhere(m.force_unlock, "k")
    it.see(m.is_locked, "k")


for with_value in (True, False):

    def _(it, m, with_value=with_value):
        events, _ = listen(m, with_value)
        m.put("k", 1)
        m.put("k", 2)
        m.set("k", 3)
        m.replace("k", 4)
        m.replace_if_same("k", 4, 5)
        m.remove("k")
        m.put_if_absent("k", 6)
        m.remove("k")
        m.try_put("k", 7)
        m.evict("k")
        m.put_transient("k", 8)
        m.remove_if_same("k", 8)
        it.events(events, 12)

    on_map("listener-with-value" if with_value else "listener-without-value")(_)


@on_map("listener-of-delete")
def _(it, m):
    events, _ = listen(m)
    m.put("k", 1)
    m.delete("k")
    it.events(events, 2)


@on_map("listener-of-the-map")
def _(it, m):
    events, registration = listen(m)
    m.put_all({"a": 1, "b": 2})
    it.events_of_keys(events, 2)
    m.clear()
    it.events_of_keys(events, 3)
    m.put("c", 1)
    m.evict_all()
    it.events_of_keys(events, 5)
    it.see(m.remove_entry_listener, registration)
    it.see(m.remove_entry_listener, registration)
    it.see(m.remove_entry_listener, str(uuid.uuid4()))
    m.put("d", 1)
    it.events_of_keys(events, 5)


@on_map("listener-of-a-key-and-predicate")
def _(it, m):
    of_key, _ = listen(m, key="a")
    of_predicate, _ = listen(m, predicate=predicate.greater("this", 5))
    of_both, _ = listen(m, key="a", predicate=predicate.greater("this", 5))
    m.put("a", 1)
    m.put("a", 10)
    m.put("b", 20)
    m.put("b", 2)
    m.remove("a")
    it.events(of_key, 3)
    it.events_of_keys(of_predicate, 3)
    it.events(of_both, 2)


@on_map("listener-of-expiry")
def _(it, m):
    events, _ = listen(m)
    m.put("k", 1, ttl=1)
    it.wait(lambda: m.get("k") is None)
    it.events(events, 2)


@on_map("near-cache")
def _(it, m):
    near = it.another(near_caches={it.fresh(): {}}).get_map(it.fresh()).blocking()
    m.put("k", 1)
    it.see(near.get, "k")
    it.see(near.get, "k")
    m.put("k", 2)
    it.wait(lambda: near.get("k") == 2)
    m.remove("k")
    it.wait(lambda: near.get("k") is None)
    m.put_all({"k": 3})
    it.wait(lambda: near.get("k") == 3)
    m.clear()
    it.wait(lambda: near.get("k") is None)
    near.put("k", 4)
    it.see(near.get, "k")
    it.see(near.contains_key, "k")
    it.see(near.get_all, ["k", "none"])


VALUES = {
    "none-in-list": [None],
    "bool": True,
    "int": -5,
    "int-of-32-bits": 2**31 - 1,
    "int-of-64-bits": 2**40,
    "int-large": 10**30,
    "float": 1.5,
    "float-nan": float("nan"),
    "float-infinite": float("-inf"),
    "str": "grüße, 日本, \U0001f600",
    "str-empty": "",
    "str-with-zero": "a\0b",
    "bytearray": bytearray(b"\0\1\xff"),
    "bytes": b"\0\1\xff",
    "bytearray-empty": bytearray(),
    "list": [1, "a", [2]],
    "dict": {"a": 1},
    "tuple": (1, "a"),
    "uuid": uuid.UUID(int=5),
    "date": datetime.date(2024, 2, 29),
    "time": datetime.time(23, 59, 58, 7),
    "datetime": datetime.datetime(2024, 1, 2, 3, 4, 5),
    "datetime-with-zone": datetime.datetime(
        2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=-7))
    ),
    "decimal": decimal.Decimal("-12345678901234567890.500"),
    "json": HazelcastJsonValue({"a": [1, None]}),
    "portable": objects.PortablePerson("Ann", 30, True, 1.5),
    "compact": objects.CompactPerson("Bob", 40, False, None),
    "pickled": objects.Pickled(5),
    "large": "x" * 3_000_000,
}


def _of_type(type_name, value):
    @case("types." + type_name)
    def _(it):
        m = it.client.get_map(it.fresh()).blocking()
        it.see(m.put, "k", value)
        it.see(m.get, "k")
        it.see(m.contains_value, value)
        it.see(m.replace_if_same, "k", value, value)
        it.see(m.remove_if_same, "k", value)
        if type_name == "large":
            return
        it.see(m.put, value, 1)
        it.see(m.get, value)
        it.see(m.key_set)
        it.see(lambda: text(m.get_entry_view(value).key))
        it.see(m.remove, value)
        it.see(m.size)


for type_name, value in VALUES.items():
    _of_type(type_name, value)


@on_map("refused")
def _(it, m):
    processor = objects.CompactPerson("none", 1, True, None)
    it.see(m.execute_on_key, "k", processor)
    it.see(m.execute_on_keys, ["k"], processor)
    it.see(m.execute_on_entries, processor)
    it.see(m.execute_on_entries, processor, predicate.true())
    it.see(m.add_interceptor, processor)
    it.see(m.put, "k", 1)
