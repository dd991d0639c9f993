"""Replicated maps, topics, counters, ids, and the client itself."""

import hazelcast
from hazelcast import predicate
from hazelcast.lifecycle import LifecycleState  # noqa: F401

import objects
from case import RUN, Events, case, options


def replicated(name):
    def declare(body):
        case("replicated." + name)(
            lambda it: body(it, it.client.get_replicated_map(it.fresh()).blocking())
        )
        return body

    return declare


@replicated("operations")
def _(it, m):
    it.see(m.get, "k")
    it.see(m.put, "k", 1)
    it.see(m.put, "k", 2)
    it.see(m.put_all, {"a": 1, "b": 2})
    it.wait(lambda: m.size() == 3)
    it.see(m.get, "k")
    it.see_unordered(m.key_set)
    it.see_unordered(m.values)
    it.see_unordered(m.entry_set)
    it.see(m.contains_key, "a")
    it.see(m.contains_value, 2)
    it.see(m.remove, "a")
    it.see(m.remove, "a")
    it.see(m.clear)
    it.wait(m.is_empty)
    it.see(m.put, None, 1)


@replicated("time-to-live")
def _(it, m):
    it.see(m.put, "k", 1, 1)
    it.wait(lambda: m.get("k") is None)


@replicated("listener")
def _(it, m):
    all_events, of_predicate = Events(), Events()

    def functions(events):
        return {
            "added_func": events.named("added"),
            "removed_func": events.named("removed"),
            "updated_func": events.named("updated"),
            "evicted_func": events.named("evicted"),
            "clear_all_func": events.of_map("cleared"),
        }

    registration = m.add_entry_listener(**functions(all_events))
    m.add_entry_listener(predicate=predicate.greater("this", 1), **functions(of_predicate))
    m.put("k", 1)
    m.put("k", 2)
    m.remove("k")
    it.events(all_events, 3)
    it.events(of_predicate, 2)
    m.clear()
    it.events(all_events, 4)
    it.see(m.remove_entry_listener, registration)
    it.see(m.remove_entry_listener, registration)


def topic_cases(kind):
    label = kind.replace("_", "-")

    @case(label + ".publish")
    def _(it):
        topic = getattr(it.client, "get_" + kind)(it.fresh()).blocking()
        events = Events()
        registration = topic.add_listener(lambda message: events.add(message.message))
        it.see(topic.publish, "a")
        it.see(topic.publish_all, [1, 2])
        it.events_of_keys(events, 3)
        it.see(topic.remove_listener, registration)
        it.see(topic.remove_listener, registration)
        topic.publish("b")
        it.events_of_keys(events, 3)
        it.see(topic.publish, None)

    @case(label + ".several-clients-and-order")
    def _(it):
        topic = getattr(it.client, "get_" + kind)(it.fresh()).blocking()
        other = getattr(it.another(), "get_" + kind)(it.fresh()).blocking()
        events = Events()
        other.add_listener(lambda message: events.add(message.message))
        for number in range(50):
            topic.publish(number)
        it.events(events, 50)

    @case(label + ".message")
    def _(it):
        topic = getattr(it.client, "get_" + kind)(it.fresh()).blocking()
        events = Events()
        topic.add_listener(
            lambda message: events.add(
                message.name == it.fresh(), message.publish_time > 0, str(message.message)
            )
        )
        topic.publish(objects.CompactPerson("Ann", 1, True, None))
        it.events(events, 1)


topic_cases("topic")
topic_cases("reliable_topic")


@case("counter.operations")
def _(it):
    counter = it.client.get_pn_counter(it.fresh()).blocking()
    it.see(counter.get)
    it.see(counter.add_and_get, 5)
    it.see(counter.get_and_add, 3)
    it.see(counter.increment_and_get)
    it.see(counter.get_and_increment)
    it.see(counter.decrement_and_get)
    it.see(counter.get_and_decrement)
    it.see(counter.subtract_and_get, 10)
    it.see(counter.get_and_subtract, -4)
    it.see(counter.get)
    it.see(counter.reset)
    it.see(counter.add_and_get, 2**63 - 1)


@case("ids.are-unique")
def _(it):
    ids = it.client.get_flake_id_generator(it.fresh()).blocking()
    others = it.another().get_flake_id_generator(it.fresh()).blocking()
    seen = [ids.new_id() for _ in range(200)] + [others.new_id() for _ in range(200)]
    it.note(len(set(seen)))
    it.note(min(seen) > 0)


@case("client.wrong-cluster-name")
def _(it):
    it.see(lambda: it.another(cluster_name="wrong", cluster_connect_timeout=1.5))


@case("client.password-without-need")
def _(it):
    other = it.another(creds_username="someone", creds_password="secret")
    it.see(other.get_map(it.fresh()).blocking().put, "k", 1)


@case("client.one-address-only")
def _(it):
    other = it.another(smart_routing=False)
    it.see(other.get_map(it.fresh()).blocking().put, "k", 1)
    it.see(other.get_map(it.fresh()).blocking().get, "k")


@case("client.lifecycle")
def _(it):
    states = []
    other = hazelcast.HazelcastClient(**options(lifecycle_listeners=[states.append]))
    it.see(other.lifecycle_service.is_running)
    entries = other.get_map(it.fresh()).blocking()
    other.shutdown()
    it.see(other.lifecycle_service.is_running)
    it.see(entries.get, "k")
    it.note(states)


@case("client.members")
def _(it):
    members = it.client.cluster_service.get_members()
    it.note(len(members))
    it.note({member.address.host for member in members})
    it.note(any(member.lite_member for member in members))
    added = []
    registration = it.client.cluster_service.add_listener(lambda member: added.append(1), None, True)
    it.note(len(added))
    it.see(it.client.cluster_service.remove_listener, registration)


@case("client.partitions")
def _(it):
    service = it.client.partition_service
    it.see(service.get_partition_count)
    for key in ("a", "", "schön", 1, 2**40, 1.5, True):
        it.see(service.get_partition_id, key)


@case("client.distributed-objects")
def _(it):
    it.client.get_map(it.fresh("-map")).blocking().put("k", 1)
    it.client.get_queue(it.fresh("-queue")).blocking().offer(1)
    other = it.another()
    own = it.fresh()
    found = [proxy for proxy in other.get_distributed_objects() if proxy.name.startswith(own)]
    it.note({proxy.service_name + proxy.name[len(own) :] for proxy in found})


@case("client.distributed-object-listener")
def _(it):
    events = Events()

    def note(event):
        if event.name.endswith(it.fresh()):
            events.add(str(event.event_type), str(event.service_name))

    other = it.another()
    registration = other.add_distributed_object_listener(note).result()
    entries = it.client.get_map(it.fresh()).blocking()
    it.events(events, 1)
    entries.destroy()
    it.events(events, 2)
    it.see(lambda: other.remove_distributed_object_listener(registration).result())
    it.see(lambda: other.remove_distributed_object_listener(registration).result())


@case("client.refused")
def _(it):
    it.see(lambda: it.client.sql.execute("SELECT 1").result().is_row_set())
    it.see(lambda: it.client.cp_subsystem.get_atomic_long("a" + RUN).blocking().increment_and_get())
    it.see(lambda: it.client.cp_subsystem.get_lock("l" + RUN).blocking().try_lock())
    it.see(
        lambda: it.client.get_executor(it.fresh())
        .blocking()
        .execute_on_key_owner("k", objects.CompactPerson("none", 1, True, None))
    )

    def transaction():
        context = it.client.new_transaction(timeout=5)
        with context:
            context.get_map(it.fresh()).put("k", 1)
        return it.client.get_map(it.fresh()).blocking().get("k")

    it.see(transaction)
