import com.hazelcast.map.IMap;
import java.util.concurrent.TimeUnit;

/** Time to live, and maximum idle time. */
final class MapExpiry {
    private MapExpiry() {}

    private static boolean isGone(IMap<Object, Object> map, Object key) {
        return !map.containsKey(key);
    }

    private static void add(String name, MapBasics.Body body) {
        MapBasics.add("expiry-" + name, body);
    }

    static void add() {
        add("put", (it, map) -> {
            it.see(() -> map.put("k", 1, 3, TimeUnit.SECONDS));
            it.see(() -> map.get("k"));
            it.await(() -> map.get("k") == null);
            it.see(map::size);
            it.see(() -> map.put("k", 2));
        });
        add("set", (it, map) -> {
            it.act(() -> map.set("k", 1, 3, TimeUnit.SECONDS));
            it.see(() -> map.get("k"));
            it.await(() -> isGone(map, "k"));
        });
        add("put-if-absent", (it, map) -> {
            it.see(() -> map.putIfAbsent("k", 1, 1, TimeUnit.SECONDS));
            it.see(() -> map.putIfAbsent("k", 2, 1, TimeUnit.HOURS));
            it.await(() -> map.putIfAbsent("k", 3) == null);
            it.see(() -> map.get("k"));
        });
        add("put-transient", (it, map) -> {
            it.act(() -> map.putTransient("k", 1, 1, TimeUnit.SECONDS));
            it.await(() -> isGone(map, "k"));
        });
        add("of-milliseconds", (it, map) -> {
            it.see(() -> map.put("k", 1, 1, TimeUnit.MILLISECONDS));
            it.await(() -> map.get("k") == null);
        });
        add("of-microseconds", (it, map) -> {
            it.see(() -> map.put("k", 1, 500, TimeUnit.MICROSECONDS));
            it.see(() -> map.getEntryView("k") == null || map.getEntryView("k").getTtl() < 10);
        });
        add("zero-and-negative", (it, map) -> {
            it.see(() -> map.put("zero", 1, 0, TimeUnit.SECONDS));
            it.see(() -> map.put("negative", 1, -1, TimeUnit.SECONDS));
            it.act(() -> map.set("less", 1, -7, TimeUnit.SECONDS));
            it.see(() -> map.getEntryView("zero").getTtl());
            it.see(() -> map.getEntryView("negative").getTtl());
            it.see(() -> map.getEntryView("less").getTtl());
            it.see(() -> map.setTtl("zero", -1, TimeUnit.SECONDS));
            it.see(() -> map.getEntryView("zero").getTtl());
        });
        add("of-the-longest-time", (it, map) -> {
            it.see(() -> map.put("k", 1, Long.MAX_VALUE, TimeUnit.DAYS));
            it.see(() -> map.getEntryView("k").getTtl());
            it.see(() -> map.getEntryView("k").getExpirationTime());
        });
        add("of-the-most-seconds", (it, map) -> {
            it.see(() -> map.put("k", 1, Integer.MAX_VALUE, TimeUnit.SECONDS));
            it.see(() -> map.getEntryView("k").getTtl());
        });
        add("max-idle", (it, map) -> {
            it.see(() -> map.put("k", 1, 0, TimeUnit.SECONDS, 1, TimeUnit.SECONDS));
            it.see(() -> map.get("k"));
            Thread.sleep(2_500);
            it.see(() -> map.get("k"));
            it.see(() -> map.size());
        });
        add("max-idle-is-extended-by-reads", (it, map) -> {
            map.set("k", 1, 0, TimeUnit.SECONDS, 3, TimeUnit.SECONDS);
            for (int step = 0; step < 10; step++) {
                Thread.sleep(500);
                map.get("k");
            }
            it.see(() -> map.get("k"));
        });
        add("max-idle-is-extended-by-contains-key", (it, map) -> {
            map.set("k", 1, 0, TimeUnit.SECONDS, 3, TimeUnit.SECONDS);
            for (int step = 0; step < 10; step++) {
                Thread.sleep(500);
                map.containsKey("k");
            }
            it.see(() -> map.get("k"));
        });
        add("max-idle-put-if-absent", (it, map) -> {
            it.see(() -> map.putIfAbsent("k", 1, 0, TimeUnit.SECONDS, 100, TimeUnit.SECONDS));
            it.see(() -> map.putIfAbsent("k", 1, 0, TimeUnit.SECONDS, 200, TimeUnit.SECONDS));
            it.see(() -> map.getEntryView("k").getMaxIdle());
            it.see(() -> map.getEntryView("k").getTtl());
        });
        add("set-ttl", (it, map) -> {
            it.see(() -> map.setTtl("k", 1, TimeUnit.SECONDS));
            map.set("k", 1);
            it.see(() -> map.setTtl("k", 100, TimeUnit.SECONDS));
            it.see(() -> map.getEntryView("k").getTtl());
            it.see(() -> map.setTtl("k", 0, TimeUnit.SECONDS));
            it.see(() -> map.getEntryView("k").getTtl());
            it.see(() -> map.setTtl("k", 1, TimeUnit.SECONDS));
            it.await(() -> map.get("k") == null);
        });
        add("put-without-time-keeps-none", (it, map) -> {
            map.set("k", 1, 100, TimeUnit.SECONDS);
            map.set("k", 2);
            it.see(() -> map.getEntryView("k").getTtl());
            map.set("k", 1, 100, TimeUnit.SECONDS);
            map.put("k", 2);
            it.see(() -> map.getEntryView("k").getTtl());
        });
        add("replace-and-the-lifetime", (it, map) -> {
            map.set("k", 1, 100, TimeUnit.SECONDS);
            map.replace("k", 2);
            it.see(() -> map.getEntryView("k").getTtl());
            map.set("k", 1, 100, TimeUnit.SECONDS);
            map.replace("k", 1, 2);
            it.see(() -> map.getEntryView("k").getTtl());
            map.set("k", 1, 100, TimeUnit.SECONDS);
            map.tryPut("k", 3, 1, TimeUnit.SECONDS);
            it.see(() -> map.getEntryView("k").getTtl());
            map.set("k", 1, 100, TimeUnit.SECONDS);
            map.putAll(java.util.Map.of("k", 4));
            it.see(() -> map.getEntryView("k").getTtl());
        });
        add("an-expired-entry-is-in-no-result", (it, map) -> {
            map.set("stays", 1);
            map.set("goes", 2, 3, TimeUnit.SECONDS);
            it.see(map::keySet);
            it.await(() -> map.keySet().size() == 1);
            it.see(map::entrySet);
            it.note(Text.sorted(map.values()));
            it.see(() -> map.getAll(java.util.Set.of("stays", "goes")));
            it.see(() -> map.containsValue(2));
            it.see(() -> map.containsKey("goes"));
            it.see(() -> map.getEntryView("goes"));
            it.see(() -> map.replace("goes", 3));
            it.see(() -> map.remove("goes"));
            it.see(() -> map.keySet(com.hazelcast.query.Predicates.alwaysTrue()));
        });
        add("of-an-entry-with-both-times", (it, map) -> {
            map.put("k", 1, 1, TimeUnit.SECONDS, 100, TimeUnit.SECONDS);
            it.await(() -> map.get("k") == null);
        });
    }
}
