import com.hazelcast.core.EntryEvent;
import com.hazelcast.core.EntryListener;
import com.hazelcast.core.HazelcastJsonValue;
import com.hazelcast.map.MapEvent;
import com.hazelcast.query.Predicates;
import com.hazelcast.replicatedmap.ReplicatedMap;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/** Replicated maps. */
final class Replicated {
    private Replicated() {}

    private interface Body {
        void run(Case it, ReplicatedMap<Object, Object> map) throws Exception;
    }

    /** Notes all events of entries, also those of multimaps. */
    static final class All implements EntryListener<Object, Object> {
        final Case.Events events = new Case.Events();

        private void entry(EntryEvent<Object, Object> event) {
            events.add(event.getEventType(), event.getKey(), event.getOldValue(), event.getValue());
        }

        @Override
        public void entryAdded(EntryEvent<Object, Object> event) {
            entry(event);
        }

        @Override
        public void entryUpdated(EntryEvent<Object, Object> event) {
            entry(event);
        }

        @Override
        public void entryRemoved(EntryEvent<Object, Object> event) {
            entry(event);
        }

        @Override
        public void entryEvicted(EntryEvent<Object, Object> event) {
            entry(event);
        }

        @Override
        public void entryExpired(EntryEvent<Object, Object> event) {
            entry(event);
        }

        @Override
        public void mapCleared(MapEvent event) {
            events.add(event.getEventType(), event.getNumberOfEntriesAffected());
        }

        @Override
        public void mapEvicted(MapEvent event) {
            events.add(event.getEventType(), event.getNumberOfEntriesAffected());
        }
    }

    private static void add(String name, Body body) {
        Main.add("replicated." + name, it -> body.run(it, it.client().getReplicatedMap(it.fresh())));
    }

    private static void fill(Case it, ReplicatedMap<Object, Object> map, int count) throws InterruptedException {
        Map<Object, Object> entries = new HashMap<>();
        for (int index = 0; index < count; index++) {
            entries.put("k" + index, index);
        }
        map.putAll(entries);
        it.await(() -> map.size() == count);
    }

    static void add() {
        add("put-get-remove", (it, map) -> {
            it.see(() -> map.put("k", 1));
            it.see(() -> map.put("k", 2));
            it.await(() -> Integer.valueOf(2).equals(map.get("k")));
            it.see(() -> map.remove("k"));
            it.see(() -> map.remove("k"));
            it.await(() -> map.get("k") == null);
        });
        add("missing-key", (it, map) -> {
            it.see(() -> map.get("k"));
            it.see(() -> map.containsKey("k"));
            it.see(() -> map.remove("k"));
            it.see(map::size);
            it.see(map::isEmpty);
        });
        add("put-all-and-sets", (it, map) -> {
            fill(it, map, 100);
            it.see(map::keySet);
            it.note(Text.sorted(map.values()));
            it.see(map::entrySet);
            it.see(() -> map.containsKey("k5"));
            it.see(() -> map.containsValue(99));
            it.see(() -> map.containsValue(100));
        });
        add("values-with-comparator", (it, map) -> {
            fill(it, map, 10);
            it.see(() -> new java.util.ArrayList<>(map.values(
                    (one, two) -> ((Integer) two).compareTo((Integer) one))));
        });
        add("clear", (it, map) -> {
            fill(it, map, 10);
            it.act(map::clear);
            it.await(map::isEmpty);
            it.see(() -> map.put("k", 1));
        });
        add("time-to-live", (it, map) -> {
            it.see(() -> map.put("k", 1, 2, TimeUnit.SECONDS));
            it.await(() -> map.get("k") == null);
            it.await(map::isEmpty);
            it.see(() -> map.put("k", 2, 0, TimeUnit.SECONDS));
            it.see(() -> map.get("k"));
        });
        add("negative-time-to-live", (it, map) -> it.see(() -> map.put("k", 1, -1, TimeUnit.SECONDS)));
        add("null-arguments", (it, map) -> {
            it.see(() -> map.put(null, 1));
            it.see(() -> map.put("k", null));
            it.see(() -> map.get(null));
            it.see(() -> map.remove(null));
            it.see(() -> map.containsKey(null));
            it.act(() -> map.putAll(Collections.singletonMap("k", null)));
        });
        add("listener", (it, map) -> {
            All all = new All();
            UUID id = map.addEntryListener(all);
            map.put("k", 1);
            map.put("k", 2);
            map.remove("k");
            it.events(all.events, 3);
            map.put("l", 1);
            map.clear();
            it.events(all.events, 5);
            it.see(() -> map.removeEntryListener(id));
            it.see(() -> map.removeEntryListener(id));
            map.put("k", 1);
            it.events(all.events, 5);
        });
        add("listener-of-a-key", (it, map) -> {
            All all = new All();
            map.addEntryListener(all, "a");
            map.put("b", 1);
            map.put("a", 2);
            it.events(all.events, 1);
        });
        add("listener-with-predicate", (it, map) -> {
            All all = new All();
            map.addEntryListener(all, Predicates.greaterThan("this", 5));
            map.put("k", 1);
            map.put("k", 10);
            map.put("k", 2);
            map.remove("k");
            it.events(all.events, 1);
        });
        add("listener-with-predicate-and-key", (it, map) -> {
            All all = new All();
            map.addEntryListener(all, Predicates.equal("a", 1), "k");
            map.put("k", new HazelcastJsonValue("{\"a\": 1}"));
            map.put("l", new HazelcastJsonValue("{\"a\": 1}"));
            it.events(all.events, 1);
        });
        add("listener-of-expiry", (it, map) -> {
            All all = new All();
            map.addEntryListener(all);
            map.put("k", 1, 1, TimeUnit.SECONDS);
            it.await(() -> map.get("k") == null);
            it.distinctEvents(all.events, 2);
        });
        add("of-another-client", (it, map) -> {
            ReplicatedMap<Object, Object> other = it.another().getReplicatedMap(it.fresh());
            map.put("k", 1);
            it.await(() -> Integer.valueOf(1).equals(other.get("k")));
            other.put("k", 2);
            it.await(() -> Integer.valueOf(2).equals(map.get("k")));
        });
        add("destroy-and-use-again", (it, map) -> {
            fill(it, map, 5);
            it.act(map::destroy);
            it.see(() -> it.client().getReplicatedMap(it.fresh()).size());
            it.see(() -> it.client().getReplicatedMap(it.fresh()).put("k0", 1));
        });
        add("all-kinds-of-keys", (it, map) -> {
            it.see(() -> map.put(1, "int"));
            it.see(() -> map.put(1L, "long"));
            it.see(() -> map.put("1", "string"));
            it.see(() -> map.put(new Types.CompactPerson("Ann", 1, true, null, null), "compact"));
            it.see(() -> map.get(new Types.CompactPerson("Ann", 1, true, null, null)));
            it.await(() -> map.size() == 4);
            it.see(map::keySet);
        });
        add("large-and-empty-values", (it, map) -> {
            it.see(() -> map.put("", ""));
            it.see(() -> map.put("large", "x".repeat(2_000_000)));
            it.await(() -> map.size() == 2);
            it.see(map::entrySet);
        });
    }
}
