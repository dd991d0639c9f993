import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.redisson.Redisson;
import org.redisson.api.RLock;
import org.redisson.api.RMap;
import org.redisson.api.RMapCache;
import org.redisson.api.RedissonClient;
import org.redisson.config.Config;

/** Redisson: maps, maps with expiry, locks, counters, queues and topics. */
public final class RedissonObjects {
    private RedissonObjects() {}

    public static void main(String[] arguments) {
        Config config = new Config();
        if (Job.isCluster()) {
            var cluster = config.useClusterServers().setScanInterval(1_000);
            for (int port : Job.ports()) {
                cluster.addNodeAddress("redis://" + Job.HOST + ":" + port);
            }
        } else {
            config.useSingleServer().setAddress("redis://" + Job.HOST + ":" + Job.ports().get(0));
        }
        RedissonClient client = Redisson.create(config);
        RMap<String, Integer> map = client.getMap("map");
        Map<String, Integer> acknowledged = new HashMap<>();
        Map<Integer, Boolean> received = new java.util.concurrent.ConcurrentHashMap<>();
        client.getTopic("news").addListener(Integer.class, (channel, n) -> received.put(n, true));
        Job.run(n -> {
            map.put("n" + n, n);
            acknowledged.put("n" + n, n);
            Job.check(map.get("n" + n) == n, "get returns what was put");
            RMapCache<String, Integer> cache = client.getMapCache("cache");
            cache.put("n" + n, n, 10, TimeUnit.MINUTES);
            Job.check(cache.get("n" + n) == n, "get of a map cache");
            client.getBucket("bucket:" + n).set(n);
            RLock lock = client.getLock("lock:" + n % 7);
            Job.check(lock.tryLock(10, TimeUnit.SECONDS), "a lock that is free is refused");
            client.getAtomicLong("count").incrementAndGet();
            lock.unlock();
            var queue = client.<Integer>getBlockingQueue("queue:" + n);
            queue.add(n);
            Job.check(queue.poll(5, TimeUnit.SECONDS) == n, "the queue returns what was added");
            client.getTopic("news").publish(n);
            Job.waitFor("message", 5_000, () -> received.containsKey(n));
        }, () -> {
            for (var entry : acknowledged.entrySet()) {
                Integer got = map.get(entry.getKey());
                Job.check(entry.getValue().equals(got), entry.getKey() + " is " + got);
            }
        });
    }
}
