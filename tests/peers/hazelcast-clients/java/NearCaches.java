import com.hazelcast.client.config.ClientConfig;
import com.hazelcast.config.InMemoryFormat;
import com.hazelcast.config.NearCacheConfig;
import com.hazelcast.map.IMap;
import com.hazelcast.replicatedmap.ReplicatedMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/** Near caches of a client, while another one writes. */
final class NearCaches {
    private NearCaches() {}

    private interface Write {
        void run(IMap<Object, Object> map) throws Exception;
    }

    private static ClientConfig config(InMemoryFormat format) {
        ClientConfig config = Main.config();
        NearCacheConfig near = new NearCacheConfig("*").setInMemoryFormat(format).setInvalidateOnChange(true);
        config.addNearCacheConfig(near);
        return config;
    }

    private static void add(String name, Write write) {
        MapBasics.add("near-cache-" + name, (it, map) -> {
            map.set("k", 1);
            IMap<Object, Object> near = it.another(config(InMemoryFormat.BINARY)).getMap(it.fresh());
            it.await(() -> {
                near.get("k");
                return near.getLocalMapStats().getNearCacheStats().getHits() > 0;
            });
            write.run(map);
            Object expected = map.get("k");
            it.await(() -> java.util.Objects.equals(near.get("k"), expected));
            it.see(() -> near.get("k"));
        });
    }

    static void add() {
        add("put", map -> map.put("k", 2));
        add("set", map -> map.set("k", 2));
        add("replace", map -> map.replace("k", 2));
        add("remove", map -> map.remove("k"));
        add("delete", map -> map.delete("k"));
        add("evict", map -> map.evict("k"));
        add("clear", IMap::clear);
        add("evict-all", IMap::evictAll);
        add("put-all", map -> map.putAll(Map.of("k", 2, "l", 3)));
        add("remove-all", map -> map.removeAll(com.hazelcast.query.Predicates.alwaysTrue()));
        add("try-put", map -> map.tryPut("k", 2, 1, TimeUnit.SECONDS));
        add("put-transient", map -> map.putTransient("k", 2, 0, TimeUnit.SECONDS));
        add("expiry", map -> {
            map.set("k", 2, 1, TimeUnit.SECONDS);
            Case.isSoon(() -> map.get("k") == null);
        });
        add("destroy", IMap::destroy);
        MapBasics.add("near-cache-objects", (it, map) -> {
            IMap<Object, Object> near = it.another(config(InMemoryFormat.OBJECT)).getMap(it.fresh());
            map.set("k", new Types.CompactPerson("Ann", 1, true, null, null));
            it.see(() -> near.get("k"));
            it.see(() -> near.getAll(Set.of("k", "none")));
            it.see(() -> near.containsKey("k"));
            map.set("k", new Types.CompactPerson("Bob", 1, true, null, null));
            it.await(() -> near.get("k").toString().contains("Bob"));
        });
        MapBasics.add("near-cache-of-missing-keys", (it, map) -> {
            IMap<Object, Object> near = it.another(config(InMemoryFormat.BINARY)).getMap(it.fresh());
            it.see(() -> near.get("k"));
            it.see(() -> near.get("k"));
            map.set("k", 5);
            it.await(() -> near.get("k") != null);
        });
        MapBasics.add("near-cache-own-writes", (it, map) -> {
            IMap<Object, Object> near = it.another(config(InMemoryFormat.BINARY)).getMap(it.fresh());
            for (int value = 0; value < 50; value++) {
                near.set("k", value);
                if (!near.get("k").equals(value)) {
                    it.note("stale " + value);
                }
            }
            it.see(() -> near.get("k"));
        });
        Main.add("replicated.near-cache", it -> {
            ReplicatedMap<Object, Object> map = it.client().getReplicatedMap(it.fresh());
            ReplicatedMap<Object, Object> near =
                    it.another(config(InMemoryFormat.BINARY)).getReplicatedMap(it.fresh());
            map.put("k", 1);
            it.await(() -> near.get("k") != null);
            map.put("k", 2);
            it.await(() -> near.get("k").equals(2));
            map.remove("k");
            it.await(() -> near.get("k") == null);
            map.put("k", 3);
            it.await(() -> near.get("k") != null);
            map.clear();
            it.await(() -> near.get("k") == null);
        });
    }
}
