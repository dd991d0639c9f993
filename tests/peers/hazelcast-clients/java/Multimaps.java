import com.hazelcast.multimap.MultiMap;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;

/** Multimaps. */
final class Multimaps {
    private Multimaps() {}

    private interface Body {
        void run(Case it, MultiMap<Object, Object> map) throws Exception;
    }

    private static void add(String name, Body body) {
        Main.add("multimap." + name, it -> body.run(it, it.client().getMultiMap(it.fresh())));
    }

    static void add() {
        add("put-get", (it, map) -> {
            it.see(() -> map.put("k", 1));
            it.see(() -> map.put("k", 2));
            it.see(() -> map.put("k", 1));
            it.see(() -> map.put("l", 1));
            it.note(Text.sorted(map.get("k")));
            it.see(map::size);
            it.see(() -> map.valueCount("k"));
            it.see(() -> map.valueCount("none"));
            it.note(Text.sorted(map.get("none")));
        });
        add("remove", (it, map) -> {
            List.of(1, 2, 3).forEach(value -> map.put("k", value));
            it.see(() -> map.remove("k", 2));
            it.see(() -> map.remove("k", 2));
            it.note(Text.sorted(map.remove("k")));
            it.note(Text.sorted(map.remove("k")));
            it.see(() -> map.containsKey("k"));
            map.put("k", 1);
            it.act(() -> map.delete("k"));
            it.act(() -> map.delete("k"));
            it.see(map::size);
        });
        add("contains", (it, map) -> {
            map.put("k", 1);
            it.see(() -> map.containsKey("k"));
            it.see(() -> map.containsKey("none"));
            it.see(() -> map.containsValue(1));
            it.see(() -> map.containsValue(1L));
            it.see(() -> map.containsEntry("k", 1));
            it.see(() -> map.containsEntry("k", 2));
        });
        add("sets", (it, map) -> {
            for (int index = 0; index < 30; index++) {
                map.put("k" + index % 10, index);
            }
            it.see(map::keySet);
            it.note(Text.sorted(map.values()));
            it.see(map::entrySet);
            it.see(map::size);
        });
        add("put-all", (it, map) -> {
            it.see(() -> map.putAllAsync("k", List.of(1, 2, 2, 3)).toCompletableFuture().get());
            it.note(Text.sorted(map.get("k")));
            it.see(() -> map.putAllAsync(java.util.Map.of("a", List.of(1), "b", List.of(2))).toCompletableFuture().get());
            it.see(map::keySet);
        });
        add("put-all-of-no-values", (it, map) -> {
            it.see(() -> map.putAllAsync(java.util.Map.of("a", List.of())).toCompletableFuture().get());
            it.see(map::keySet);
        });
        add("values-of-several-keys", (it, map) -> {
            for (int index = 0; index < 50; index++) {
                map.put("k" + index, 1);
            }
            it.note(map.values().size() == 50);
        });
        add("clear", (it, map) -> {
            map.put("k", 1);
            it.act(map::clear);
            it.see(map::size);
            it.see(map::keySet);
        });
        add("null-arguments", (it, map) -> {
            it.see(() -> map.put(null, 1));
            it.see(() -> map.put("k", null));
            it.see(() -> map.get(null));
            it.see(() -> map.containsValue(null));
        });
        add("locks", (it, map) -> {
            map.lock("k");
            it.see(() -> map.isLocked("k"));
            it.seeElsewhere(() -> map.tryLock("k"));
            it.seeElsewhere(() -> map.tryLock("k", 100, TimeUnit.MILLISECONDS));
            FutureTask<Object> write = it.start(() -> map.put("k", 1));
            Thread.sleep(300);
            it.note(write.isDone());
            it.act(() -> map.unlock("k"));
            it.seeEnd(write);
            it.act(() -> map.unlock("k"));
            it.act(() -> map.lock("k", 1, TimeUnit.SECONDS));
            it.await(() -> !map.isLocked("k"));
            map.lock("k");
            it.act(() -> map.forceUnlock("k"));
            it.see(() -> map.isLocked("k"));
        });
        add("locked-read", (it, map) -> {
            map.put("k", 1);
            map.lock("k");
            it.seeElsewhere(() -> Text.sorted(map.get("k")));
            it.seeElsewhere(() -> map.containsKey("k"));
        });
        add("listener", (it, map) -> {
            Replicated.All all = new Replicated.All();
            UUID id = map.addEntryListener(all, true);
            map.put("k", 1);
            map.put("k", 2);
            map.put("k", 1);
            map.remove("k", 1);
            map.remove("k");
            it.events(all.events, 4);
            map.put("a", 1);
            it.events(all.events, 5);
            map.clear();
            it.events(all.events, 6);
            it.see(() -> map.removeEntryListener(id));
            it.see(() -> map.removeEntryListener(id));
        });
        add("listener-without-value", (it, map) -> {
            Replicated.All all = new Replicated.All();
            map.addEntryListener(all, false);
            map.put("k", 1);
            map.remove("k", 1);
            it.events(all.events, 2);
        });
        add("listener-of-a-key", (it, map) -> {
            Replicated.All all = new Replicated.All();
            map.addEntryListener(all, "k", true);
            map.put("l", 1);
            map.put("k", 1);
            map.delete("k");
            it.events(all.events, 2);
        });
        add("destroy-and-use-again", (it, map) -> {
            map.put("k", 1);
            it.act(map::destroy);
            it.see(() -> it.client().getMultiMap(it.fresh()).size());
            it.see(() -> it.client().getMultiMap(it.fresh()).put("k", 1));
        });
        add("values-of-all-kinds", (it, map) -> {
            List<Object> values = List.of("", "", 1, 1L, 1.0, true, new Types.JavaPoint(1, 1),
                    new Types.CompactPerson("Ann", 1, true, null, null));
            values.forEach(value -> map.put("k", value));
            it.note(Text.sorted(map.get("k")));
            it.see(() -> map.remove("k", ""));
            it.see(map::size);
        });
        add("many-values", (it, map) -> {
            for (int index = 0; index < 500; index++) {
                map.put("k", index);
            }
            it.see(() -> map.valueCount("k"));
            it.see(() -> map.get("k").size());
        });
    }
}
