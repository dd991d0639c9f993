import com.hazelcast.core.HazelcastInstance;
import com.hazelcast.map.IMap;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;

/** Locks of keys: owners are threads of clients. */
final class MapLocks {
    private MapLocks() {}

    private static void add(String name, MapBasics.Body body) {
        MapBasics.add("lock-" + name, body);
    }

    static void add() {
        add("is-reentrant", (it, map) -> {
            it.act(() -> map.lock("k"));
            it.act(() -> map.lock("k"));
            it.see(() -> map.tryLock("k"));
            it.see(() -> map.isLocked("k"));
            it.act(() -> map.unlock("k"));
            it.act(() -> map.unlock("k"));
            it.see(() -> map.isLocked("k"));
            it.act(() -> map.unlock("k"));
            it.see(() -> map.isLocked("k"));
            it.act(() -> map.unlock("k"));
        });
        add("creates-no-entry", (it, map) -> {
            map.lock("k");
            it.see(map::size);
            it.see(() -> map.containsKey("k"));
            it.see(map::keySet);
            map.unlock("k");
        });
        add("of-another-thread", (it, map) -> {
            map.lock("k");
            it.seeElsewhere(() -> map.tryLock("k"));
            it.seeElsewhere(() -> map.tryLock("k", 100, TimeUnit.MILLISECONDS));
            it.seeElsewhere(() -> map.isLocked("k"));
            it.seeElsewhere(() -> {
                map.unlock("k");
                return null;
            });
            it.seeElsewhere(() -> map.get("k"));
            it.seeElsewhere(() -> map.tryPut("k", 1, 100, TimeUnit.MILLISECONDS));
            it.seeElsewhere(() -> map.tryRemove("k", 100, TimeUnit.MILLISECONDS));
            it.seeElsewhere(() -> map.put("other", 1));
            it.see(() -> map.put("k", 2));
            map.unlock("k");
            it.seeElsewhere(() -> map.tryLock("k"));
        });
        add("of-another-client", (it, map) -> {
            IMap<Object, Object> other = it.another().getMap(it.fresh());
            map.lock("k");
            it.see(() -> other.tryLock("k"));
            it.see(() -> other.isLocked("k"));
            it.act(() -> other.unlock("k"));
            it.see(() -> other.tryPut("k", 1, 0, TimeUnit.MILLISECONDS));
            map.unlock("k");
            it.see(() -> other.tryLock("k"));
        });
        add("wakes-a-waiting-write", (it, map) -> {
            map.lock("k");
            FutureTask<Object> write = it.start(() -> map.put("k", 5));
            Thread.sleep(300);
            it.note(write.isDone());
            map.unlock("k");
            it.seeEnd(write);
            it.see(() -> map.get("k"));
        });
        add("wakes-a-waiting-client", (it, map) -> {
            IMap<Object, Object> other = it.another().getMap(it.fresh());
            map.lock("k");
            FutureTask<Object> lock = it.start(() -> other.tryLock("k", 10, TimeUnit.SECONDS));
            Thread.sleep(300);
            it.note(lock.isDone());
            map.unlock("k");
            it.seeEnd(lock);
            it.see(() -> map.isLocked("k"));
        });
        add("lease-ends", (it, map) -> {
            it.act(() -> map.lock("k", 1, TimeUnit.SECONDS));
            it.see(() -> map.isLocked("k"));
            it.await(() -> !map.isLocked("k"));
            it.act(() -> map.unlock("k"));
        });
        add("try-lock-with-lease", (it, map) -> {
            it.see(() -> map.tryLock("k", 1, TimeUnit.SECONDS, 1, TimeUnit.SECONDS));
            it.seeElsewhere(() -> map.tryLock("k", 5, TimeUnit.SECONDS));
        });
        add("lease-of-zero-and-negative", (it, map) -> {
            it.act(() -> map.lock("k", 0, TimeUnit.SECONDS));
            it.act(() -> map.lock("k", -1, TimeUnit.SECONDS));
            it.see(() -> map.isLocked("k"));
            it.see(() -> map.tryLock("k", -1, TimeUnit.SECONDS));
        });
        add("lease-of-a-second-lock", (it, map) -> {
            map.lock("k");
            map.lock("k", 1, TimeUnit.SECONDS);
            Thread.sleep(1_800);
            it.see(() -> map.isLocked("k"));
        });
        add("force-unlock", (it, map) -> {
            map.lock("k");
            map.lock("k");
            it.seeElsewhere(() -> {
                map.forceUnlock("k");
                return null;
            });
            it.see(() -> map.isLocked("k"));
            it.act(() -> map.forceUnlock("k"));
            it.act(() -> map.unlock("k"));
        });
        add("unlock-without-lock", (it, map) -> it.act(() -> map.unlock("k")));
        add("clear-and-evict-all-keep-locked-entries", (it, map) -> {
            MapBasics.fill(map, 5);
            map.lock("k1");
            map.lock("none");
            map.clear();
            it.see(map::keySet);
            map.evictAll();
            it.see(map::keySet);
            it.see(() -> map.evict("k1"));
            it.see(() -> map.isLocked("k1"));
            it.see(() -> map.isLocked("none"));
            map.unlock("k1");
            map.clear();
            it.see(map::size);
        });
        add("stays-when-the-entry-is-removed", (it, map) -> {
            map.put("k", 1);
            map.lock("k");
            map.remove("k");
            it.see(() -> map.isLocked("k"));
            it.seeElsewhere(() -> map.tryLock("k"));
            map.unlock("k");
        });
        add("ends-with-its-client", (it, map) -> {
            HazelcastInstance other = it.another();
            other.getMap(it.fresh()).lock("k");
            it.see(() -> map.isLocked("k"));
            other.shutdown();
            it.await(() -> !map.isLocked("k"));
        });
        add("is-gone-after-destroy", (it, map) -> {
            map.put("k", 1);
            map.lock("k");
            map.destroy();
            it.see(() -> it.client().getMap(it.fresh()).isLocked("k"));
        });
        add("blocks-put-all", (it, map) -> {
            map.lock("k");
            FutureTask<Object> write = it.start(() -> {
                map.putAll(java.util.Map.of("k", 1, "l", 2));
                return "written";
            });
            Thread.sleep(300);
            it.note(write.isDone());
            map.unlock("k");
            it.seeEnd(write);
            it.see(map::entrySet);
        });
        add("and-remove-all", (it, map) -> {
            MapBasics.fill(map, 3);
            map.lock("k1");
            it.seeElsewhere(() -> {
                map.removeAll(com.hazelcast.query.Predicates.alwaysTrue());
                return null;
            });
            it.see(map::keySet);
        });
    }
}
