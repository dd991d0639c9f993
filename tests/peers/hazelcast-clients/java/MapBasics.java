import com.hazelcast.core.EntryView;
import com.hazelcast.map.IMap;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Operations on single entries, on several, and on whole maps. */
final class MapBasics {
    private MapBasics() {}

    /** A case with a fresh map. */
    interface Body {
        void run(Case it, IMap<Object, Object> map) throws Exception;
    }

    static void add(String name, Body body) {
        Main.add("map." + name, it -> body.run(it, it.client().getMap(it.fresh())));
    }

    /** Fills a map with `k0` to `k(count - 1)`. */
    static void fill(IMap<Object, Object> map, int count) {
        Map<Object, Object> entries = new HashMap<>();
        for (int index = 0; index < count; index++) {
            entries.put("k" + index, index);
        }
        map.putAll(entries);
    }

    static void add() {
        add("put-returns-the-old-value", (it, map) -> {
            it.see(() -> map.put("k", 1));
            it.see(() -> map.put("k", 2));
            it.see(() -> map.get("k"));
            it.see(map::size);
        });
        add("get-of-a-missing-key", (it, map) -> {
            it.see(() -> map.get("k"));
            it.see(() -> map.getOrDefault("k", 5));
            it.see(() -> map.containsKey("k"));
            it.see(() -> map.remove("k"));
            it.see(() -> map.getEntryView("k"));
            it.see(() -> map.evict("k"));
            it.see(() -> map.isLocked("k"));
        });
        add("set-and-delete", (it, map) -> {
            it.act(() -> map.set("k", 1));
            it.act(() -> map.set("k", 2));
            it.see(() -> map.get("k"));
            it.act(() -> map.delete("k"));
            it.act(() -> map.delete("k"));
            it.see(() -> map.get("k"));
        });
        add("put-if-absent", (it, map) -> {
            it.see(() -> map.putIfAbsent("k", 1));
            it.see(() -> map.putIfAbsent("k", 2));
            it.see(() -> map.get("k"));
        });
        add("replace", (it, map) -> {
            it.see(() -> map.replace("k", 1));
            it.see(() -> map.get("k"));
            map.set("k", 1);
            it.see(() -> map.replace("k", 2));
            it.see(() -> map.get("k"));
        });
        add("replace-if-equal", (it, map) -> {
            it.see(() -> map.replace("k", 1, 2));
            map.set("k", 1);
            it.see(() -> map.replace("k", 9, 2));
            it.see(() -> map.replace("k", 1L, 2));
            it.see(() -> map.replace("k", 1, 2));
            it.see(() -> map.get("k"));
        });
        add("remove", (it, map) -> {
            map.set("k", 1);
            it.see(() -> map.remove("k"));
            it.see(() -> map.remove("k"));
            it.see(() -> map.remove("k", 1));
            map.set("k", 1);
            it.see(() -> map.remove("k", 2));
            it.see(() -> map.remove("k", 1L));
            it.see(() -> map.remove("k", 1));
            it.see(map::isEmpty);
        });
        add("try-put-and-try-remove", (it, map) -> {
            it.see(() -> map.tryPut("k", 1, 1, TimeUnit.SECONDS));
            it.see(() -> map.tryPut("k", 2, 0, TimeUnit.SECONDS));
            it.see(() -> map.get("k"));
            it.see(() -> map.tryRemove("k", 1, TimeUnit.SECONDS));
            it.see(() -> map.tryRemove("k", 0, TimeUnit.SECONDS));
        });
        add("put-transient", (it, map) -> {
            it.act(() -> map.putTransient("k", 1, 0, TimeUnit.SECONDS));
            it.see(() -> map.get("k"));
            it.act(() -> map.putTransient("k", 2, 1, TimeUnit.HOURS));
            it.see(() -> map.put("k", 3));
            it.act(() -> map.putTransient("k", 2, 1, TimeUnit.HOURS, 1, TimeUnit.MINUTES));
            it.see(() -> map.getEntryView("k").getMaxIdle());
        });
        add("null-arguments", (it, map) -> {
            it.see(() -> map.put(null, 1));
            it.see(() -> map.put("k", null));
            it.act(() -> map.set("k", null));
            it.see(() -> map.get(null));
            it.see(() -> map.remove(null));
            it.see(() -> map.containsValue(null));
            it.see(() -> map.replace("k", null));
            it.see(() -> map.replace("k", null, 1));
            it.see(() -> map.putIfAbsent("k", null));
            it.see(() -> map.getAll(null));
            it.act(() -> map.putAll(null));
            it.act(() -> map.putAll(java.util.Collections.singletonMap("k", null)));
            it.act(() -> map.lock(null));
            it.see(() -> map.evict(null));
            it.see(map::size);
        });
        add("put-all-and-get-all", (it, map) -> {
            fill(map, 500);
            it.see(map::size);
            it.see(() -> map.getAll(Set.of("k0", "k1", "k499", "none")));
            it.see(() -> map.getAll(Set.of()));
            it.act(() -> map.putAll(Map.of()));
            it.act(() -> map.putAll(Map.of("k0", "new", "more", true)));
            it.see(() -> new TreeMap<>(map.getAll(Set.of("k0", "more"))));
            it.see(map::size);
        });
        add("set-all", (it, map) -> {
            it.act(() -> map.setAll(Map.of("a", 1, "b", 2)));
            it.act(() -> map.setAllAsync(Map.of("b", 3)).toCompletableFuture().get());
            it.act(() -> map.putAllAsync(Map.of("c", 4)).toCompletableFuture().get());
            it.see(() -> new HashMap<>(map.getAll(Set.of("a", "b", "c"))));
        });
        add("key-set-values-entry-set", (it, map) -> {
            it.see(map::keySet);
            it.note(Text.sorted(map.values()));
            it.see(map::entrySet);
            fill(map, 300);
            it.see(() -> map.keySet().size());
            it.see(map::keySet);
            it.note(Text.sorted(map.values()));
            it.see(map::entrySet);
        });
        add("result-sets-cannot-be-changed", (it, map) -> {
            map.set("k", 1);
            it.see(() -> map.keySet().remove("k"));
            it.see(() -> map.entrySet().removeIf(entry -> true));
            it.see(() -> map.values().remove(1));
            it.see(map::size);
        });
        add("contains", (it, map) -> {
            fill(map, 20);
            it.see(() -> map.containsKey("k3"));
            it.see(() -> map.containsKey("K3"));
            it.see(() -> map.containsValue(19));
            it.see(() -> map.containsValue(19L));
            it.see(() -> map.containsValue("19"));
        });
        add("clear", (it, map) -> {
            it.act(map::clear);
            fill(map, 50);
            it.act(map::clear);
            it.see(map::size);
            it.see(map::isEmpty);
            it.see(() -> map.put("k1", 2));
        });
        add("evict", (it, map) -> {
            fill(map, 3);
            it.see(() -> map.evict("k0"));
            it.see(() -> map.evict("k0"));
            it.see(() -> map.get("k0"));
            it.act(map::evictAll);
            it.see(map::size);
        });
        add("asynchronous", (it, map) -> {
            it.see(() -> map.putAsync("k", 1).toCompletableFuture().get());
            it.see(() -> map.putAsync("k", 2, 1, TimeUnit.HOURS).toCompletableFuture().get());
            it.see(() -> map.getAsync("k").toCompletableFuture().get());
            it.see(() -> map.setAsync("k", 3).toCompletableFuture().get());
            it.see(() -> map.setAsync("k", 4, 1, TimeUnit.HOURS, 1, TimeUnit.HOURS).toCompletableFuture().get());
            it.see(() -> map.removeAsync("k").toCompletableFuture().get());
            it.see(() -> map.deleteAsync("k").toCompletableFuture().get());
            it.see(() -> map.getAsync("k").toCompletableFuture().get());
            map.set("k", 1);
            it.see(() -> map.deleteAsync("k").toCompletableFuture().get());
        });
        add("many-at-once", (it, map) -> {
            List<java.util.concurrent.CompletionStage<Object>> all = new ArrayList<>();
            for (int index = 0; index < 1_000; index++) {
                all.add(map.putAsync("k" + index % 10, index));
            }
            for (var one : all) {
                one.toCompletableFuture().get(10, TimeUnit.SECONDS);
            }
            it.see(() -> map.getAll(Set.of("k0", "k5", "k9")));
            it.see(map::size);
        });
        add("computed-on-the-client", (it, map) -> {
            it.see(() -> map.computeIfAbsent("k", key -> 1));
            it.see(() -> map.computeIfAbsent("k", key -> 2));
            it.see(() -> map.computeIfPresent("k", (key, value) -> (Integer) value + 1));
            it.see(() -> map.compute("k", (key, value) -> null));
            it.see(() -> map.containsKey("k"));
            it.see(() -> map.merge("k", 5, (one, two) -> (Integer) one + (Integer) two));
            it.see(() -> map.merge("k", 5, (one, two) -> (Integer) one + (Integer) two));
        });
        add("increments-of-several-clients", (it, map) -> {
            map.set("k", 0);
            List<java.util.concurrent.FutureTask<Object>> tasks = new ArrayList<>();
            for (int client = 0; client < 4; client++) {
                IMap<Object, Object> own = client % 2 == 0 ? map : it.another().getMap(it.fresh());
                tasks.add(it.start(() -> {
                    for (int step = 0; step < 50; step++) {
                        while (true) {
                            Integer value = (Integer) own.get("k");
                            if (own.replace("k", value, value + 1)) {
                                break;
                            }
                        }
                    }
                    return null;
                }));
            }
            tasks.forEach(it::seeEnd);
            it.see(() -> map.get("k"));
        });
        add("entry-view", (it, map) -> {
            map.set("k", 1);
            map.get("k");
            map.get("k");
            map.put("k", 2);
            EntryView<Object, Object> view = map.getEntryView("k");
            it.note(view.getKey());
            it.note(view.getValue());
            it.note(view.getTtl());
            it.note(view.getMaxIdle());
            it.note(view.getExpirationTime());
        });
        add("entry-view-statistics", (it, map) -> {
            long before = System.currentTimeMillis() - 5_000;
            map.set("k", 1);
            map.get("k");
            map.put("k", 2);
            EntryView<Object, Object> view = map.getEntryView("k");
            it.note(view.getHits());
            it.note(view.getCreationTime() > before);
            it.note(view.getLastAccessTime() > before);
            it.note(view.getLastUpdateTime() > before);
            it.note(view.getLastStoredTime());
        });
        add("entry-view-version", (it, map) -> {
            map.set("k", 1);
            it.note(map.getEntryView("k").getVersion());
        });
        add("entry-view-with-lifetime", (it, map) -> {
            map.put("k", 1, 100, TimeUnit.SECONDS, 50, TimeUnit.SECONDS);
            EntryView<Object, Object> view = map.getEntryView("k");
            it.note(view.getTtl());
            it.note(view.getMaxIdle());
            long left = view.getExpirationTime() - System.currentTimeMillis();
            it.note(left > 30_000 && left < 70_000);
        });
        add("iterator", (it, map) -> {
            fill(map, 250);
            Set<Object> keys = new HashSet<>();
            AtomicInteger count = new AtomicInteger();
            for (Map.Entry<Object, Object> entry : map) {
                keys.add(entry.getKey());
                count.incrementAndGet();
            }
            it.note(keys.size());
            it.note(count.get());
            Iterator<Map.Entry<Object, Object>> all = map.iterator(7);
            int removed = 0;
            while (all.hasNext()) {
                if ((Integer) all.next().getValue() < 100) {
                    all.remove();
                    removed++;
                }
            }
            it.note(removed);
            it.see(map::size);
            it.see(() -> map.iterator().next() != null);
            it.see(() -> it.client().getMap(it.fresh() + "-empty").iterator().hasNext());
            it.see(() -> it.client().getMap(it.fresh() + "-empty").iterator().next());
        });
        add("for-each-and-replace-all", (it, map) -> {
            fill(map, 20);
            AtomicInteger sum = new AtomicInteger();
            it.act(() -> map.forEach((key, value) -> sum.addAndGet((Integer) value)));
            it.note(sum.get());
        });
        add("destroy-and-use-again", (it, map) -> {
            fill(map, 5);
            it.act(map::destroy);
            it.see(map::size);
            it.see(() -> map.get("k1"));
            it.see(() -> map.put("k1", 2));
            IMap<Object, Object> again = it.client().getMap(it.fresh());
            it.see(again::size);
            it.see(() -> again.get("k1"));
            it.act(again::destroy);
            it.act(again::destroy);
        });
        add("two-maps-are-separate", (it, map) -> {
            IMap<Object, Object> other = it.client().getMap(it.fresh() + "-other");
            map.set("k", 1);
            it.see(() -> other.get("k"));
            other.set("k", 2);
            it.see(() -> map.get("k"));
            it.act(other::destroy);
            it.see(() -> map.get("k"));
        });
        add("seen-by-another-client", (it, map) -> {
            IMap<Object, Object> other = it.another().getMap(it.fresh());
            map.set("k", 1);
            it.see(() -> other.get("k"));
            it.see(() -> other.replace("k", 1, 2));
            it.see(() -> map.get("k"));
            other.clear();
            it.see(map::size);
        });
        add("flush-and-load", (it, map) -> {
            map.set("k", 1);
            it.act(map::flush);
            it.act(() -> map.loadAll(true));
            it.act(() -> map.loadAll(Set.of("k"), true));
            it.see(() -> map.get("k"));
        });
        add("partitioning-by-key", (it, map) -> {
            map.set("a@x", 1);
            map.set("b@x", 2);
            it.see(map::keySet);
            it.see(() -> map.get("a@x"));
            it.see(() -> it.client().getPartitionService().getPartition("a@x").getPartitionId());
            it.see(() -> it.client().getPartitionService().getPartition("key-1").getPartitionId());
        });
        add("local-statistics", (it, map) -> {
            it.see(() -> map.getLocalMapStats().getOwnedEntryCount());
            it.see(() -> map.localKeySet());
        });
        add("index", (it, map) -> {
            it.act(() -> map.addIndex(new com.hazelcast.config.IndexConfig(
                    com.hazelcast.config.IndexType.SORTED, "this")));
            it.act(() -> map.addIndex(new com.hazelcast.config.IndexConfig(
                    com.hazelcast.config.IndexType.SORTED, "this")));
            fill(map, 5);
            it.see(() -> map.keySet(com.hazelcast.query.Predicates.greaterThan("this", 2)));
        });
        add("index-of-an-attribute-that-values-lack", (it, map) -> {
            it.act(() -> map.addIndex(new com.hazelcast.config.IndexConfig(
                    com.hazelcast.config.IndexType.HASH, "a", "b")));
            it.see(() -> map.put("k", 1));
        });
    }
}
