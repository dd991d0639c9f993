import com.hazelcast.core.EntryEvent;
import com.hazelcast.map.IMap;
import com.hazelcast.map.MapEvent;
import com.hazelcast.map.listener.EntryAddedListener;
import com.hazelcast.map.listener.EntryEvictedListener;
import com.hazelcast.map.listener.EntryExpiredListener;
import com.hazelcast.map.listener.EntryLoadedListener;
import com.hazelcast.map.listener.EntryRemovedListener;
import com.hazelcast.map.listener.EntryUpdatedListener;
import com.hazelcast.map.listener.MapClearedListener;
import com.hazelcast.map.listener.MapEvictedListener;
import com.hazelcast.query.Predicates;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/** Listeners for entries. */
final class MapListeners {
    private MapListeners() {}

    /** Notes all events. */
    static final class All implements EntryAddedListener<Object, Object>, EntryUpdatedListener<Object, Object>,
            EntryRemovedListener<Object, Object>, EntryEvictedListener<Object, Object>,
            EntryExpiredListener<Object, Object>, EntryLoadedListener<Object, Object>, MapClearedListener,
            MapEvictedListener {
        final Case.Events events = new Case.Events();

        private void entry(EntryEvent<Object, Object> event) {
            events.add(event.getEventType(), event.getKey(), event.getOldValue(), event.getValue());
        }

        private void map(MapEvent event) {
            events.add(event.getEventType(), event.getNumberOfEntriesAffected());
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
        public void entryLoaded(EntryEvent<Object, Object> event) {
            entry(event);
        }

        @Override
        public void mapCleared(MapEvent event) {
            map(event);
        }

        @Override
        public void mapEvicted(MapEvent event) {
            map(event);
        }
    }

    private static void add(String name, MapBasics.Body body) {
        MapBasics.add("listener-" + name, body);
    }

    static void add() {
        for (boolean hasValue : new boolean[] {true, false}) {
            String with = hasValue ? "-with-value" : "-without-value";
            add("all-writes" + with, (it, map) -> {
                All all = new All();
                map.addEntryListener(all, hasValue);
                map.put("k", 1);
                map.put("k", 2);
                map.set("k", 2);
                map.putIfAbsent("k", 3);
                map.replace("k", 4);
                map.replace("k", 4, 5);
                map.replace("k", 4, 6);
                map.remove("k");
                map.remove("k");
                map.tryPut("k", 8, 1, TimeUnit.SECONDS);
                map.tryRemove("k", 1, TimeUnit.SECONDS);
                map.putTransient("k", 9, 0, TimeUnit.SECONDS);
                map.evict("k");
                map.put("k", 10, 1, TimeUnit.HOURS);
                map.setTtl("k", 1, TimeUnit.HOURS);
                map.remove("k", 9);
                map.remove("k", 10);
                it.events(all.events, 12);
            });
            add("delete" + with, (it, map) -> {
                All all = new All();
                map.addEntryListener(all, hasValue);
                map.set("k", 7);
                map.delete("k");
                map.delete("k");
                it.events(all.events, 2);
            });
            add("expiry" + with, (it, map) -> {
                All all = new All();
                map.addEntryListener(all, hasValue);
                map.put("k", 1, 1, TimeUnit.SECONDS);
                Thread.sleep(1_500);
                it.see(() -> map.get("k"));
                it.events(all.events, 2);
            });
        }
        add("try-put", (it, map) -> {
            All all = new All();
            map.set("k", 1);
            map.addEntryListener(all, true);
            map.tryPut("k", 2, 1, TimeUnit.SECONDS);
            it.events(all.events, 1);
        });
        add("whole-map", (it, map) -> {
            All all = new All();
            map.addEntryListener(all, true);
            map.putAll(Map.of("a", 1, "b", 2, "c", 3));
            it.eventsOfKeys(all.events, 3);
            map.clear();
            it.eventsOfKeys(all.events, 4);
        });
        add("clear-of-an-empty-map", (it, map) -> {
            All all = new All();
            map.addEntryListener(all, true);
            map.clear();
            map.evictAll();
            it.eventsOfKeys(all.events, 0);
        });
        add("evict-all", (it, map) -> {
            All all = new All();
            MapBasics.fill(map, 5);
            map.addEntryListener(all, true);
            map.evictAll();
            it.eventsOfKeys(all.events, 1);
        });
        add("remove-all", (it, map) -> {
            All all = new All();
            MapBasics.fill(map, 5);
            map.addEntryListener(all, true);
            map.removeAll(Predicates.greaterThan("this", 2));
            it.eventsOfKeys(all.events, 2);
        });
        add("of-a-key", (it, map) -> {
            All all = new All();
            map.addEntryListener(all, "a", true);
            map.put("b", 1);
            map.put("a", 1);
            map.remove("b");
            map.remove("a");
            it.events(all.events, 2);
        });
        add("of-a-key-and-clear", (it, map) -> {
            All all = new All();
            map.addEntryListener(all, "a", true);
            map.put("b", 1);
            map.put("a", 1);
            it.events(all.events, 1);
            map.clear();
            it.events(all.events, 2);
        });
        add("with-predicate", (it, map) -> {
            All all = new All();
            map.addEntryListener(all, Predicates.greaterThan("this", 5), true);
            map.put("k", 1);
            map.put("k", 10);
            map.put("k", 11);
            map.put("k", 2);
            map.put("k", 20);
            map.remove("k");
            map.put("k", 3);
            map.remove("k");
            it.events(all.events, 4);
        });
        add("with-predicate-without-value", (it, map) -> {
            All all = new All();
            map.addEntryListener(all, Predicates.greaterThan("this", 5), false);
            map.put("k", 1);
            map.put("k", 10);
            map.remove("k");
            it.events(all.events, 2);
        });
        add("with-predicate-and-key", (it, map) -> {
            All all = new All();
            map.addEntryListener(all, Predicates.equal("this", 1), "a", true);
            map.put("a", 1);
            map.put("b", 1);
            map.put("a", 2);
            it.events(all.events, 1);
        });
        add("with-predicate-on-json", (it, map) -> {
            All all = new All();
            map.addEntryListener(all, Predicates.equal("age", 30), true);
            MapQueries.people(map, "json");
            it.eventsOfKeys(all.events, 2);
        });
        add("with-predicate-on-compact", (it, map) -> {
            All all = new All();
            map.addEntryListener(all, Predicates.equal("age", 30), true);
            MapQueries.people(map, "compact");
            it.eventsOfKeys(all.events, 2);
        });
        add("removed", (it, map) -> {
            All all = new All();
            UUID id = map.addEntryListener(all, true);
            map.put("k", 1);
            it.events(all.events, 1);
            it.see(() -> map.removeEntryListener(id));
            it.see(() -> map.removeEntryListener(id));
            it.see(() -> map.removeEntryListener(new UUID(1, 2)));
            map.put("k", 2);
            it.events(all.events, 1);
        });
        add("two-of-one-client", (it, map) -> {
            All one = new All();
            All two = new All();
            map.addEntryListener(one, true);
            map.addEntryListener(two, false);
            map.put("k", 1);
            it.events(one.events, 1);
            it.events(two.events, 1);
        });
        add("of-another-client", (it, map) -> {
            All all = new All();
            it.another().getMap(it.fresh()).addEntryListener(all, true);
            map.put("k", 1);
            map.put("k", 2);
            map.remove("k");
            it.events(all.events, 3);
        });
        add("of-one-kind", (it, map) -> {
            Case.Events events = new Case.Events();
            map.addEntryListener((EntryRemovedListener<Object, Object>) event ->
                    events.add(event.getKey(), event.getOldValue(), event.getValue()), true);
            map.put("k", 1);
            map.put("k", 2);
            map.remove("k");
            it.events(events, 1);
        });
        add("order-of-one-key", (it, map) -> {
            Case.Events events = new Case.Events();
            map.addEntryListener((EntryUpdatedListener<Object, Object>) event -> events.add(event.getValue()), true);
            for (int value = 0; value <= 100; value++) {
                map.set("k", value);
            }
            it.events(events, 100);
        });
        add("after-destroy", (it, map) -> {
            All all = new All();
            map.addEntryListener(all, true);
            map.put("k", 1);
            it.events(all.events, 1);
            map.destroy();
            IMap<Object, Object> again = it.client().getMap(it.fresh());
            again.put("k", 2);
            it.events(all.events, 1);
        });
        add("wrong-arguments", (it, map) -> {
            it.see(() -> map.addEntryListener(null, true) != null);
            it.see(() -> map.removeEntryListener(null));
            it.see(() -> map.addLocalEntryListener(new All()) != null);
        });
        add("partition-lost", (it, map) -> {
            UUID id = map.addPartitionLostListener(event -> { });
            it.see(() -> map.removePartitionLostListener(id));
            it.see(() -> map.removePartitionLostListener(id));
        });
        add("member-of-events", (it, map) -> {
            Case.Events events = new Case.Events();
            map.addEntryListener((EntryAddedListener<Object, Object>) event -> events.add(
                    it.client().getCluster().getMembers().contains(event.getMember()), event.getName().equals(it.fresh())),
                    true);
            map.put("k", 1);
            it.events(events, 1);
        });
        add("large-values", (it, map) -> {
            Case.Events events = new Case.Events();
            map.addEntryListener((EntryUpdatedListener<Object, Object>) event -> events.add(
                    ((byte[]) event.getOldValue()).length, ((byte[]) event.getValue()).length), true);
            map.put("k", new byte[1_000_000]);
            map.put("k", new byte[2_000_000]);
            it.events(events, 1);
        });
        add("values-of-all-kinds", (it, map) -> {
            All all = new All();
            map.addEntryListener(all, true);
            List<Object> values = List.of("", 1.5, true, new int[] {1}, new Types.PortablePerson("Ann", 1, true, 1),
                    new Types.CompactPerson("Bob", 2, true, null, null));
            values.forEach(value -> map.put("k", value));
            it.events(all.events, values.size());
        });
    }
}
