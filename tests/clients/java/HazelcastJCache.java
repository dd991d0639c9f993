import com.hazelcast.client.HazelcastClient;
import com.hazelcast.client.cache.HazelcastClientCachingProvider;
import com.hazelcast.client.config.ClientConfig;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import javax.cache.Cache;
import javax.cache.configuration.FactoryBuilder;
import javax.cache.configuration.MutableCacheEntryListenerConfiguration;
import javax.cache.configuration.MutableConfiguration;
import javax.cache.event.CacheEntryCreatedListener;
import javax.cache.event.CacheEntryEvent;
import javax.cache.expiry.CreatedExpiryPolicy;
import javax.cache.expiry.Duration;

/** JCache by the provider of Hazelcast's client: values, expiry, listeners, iteration. */
public final class HazelcastJCache {
    private static final Map<String, Boolean> CREATED = new ConcurrentHashMap<>();

    private HazelcastJCache() {}

    /** Notes the keys of entries that were created. */
    public static final class Listener
            implements CacheEntryCreatedListener<String, Integer>, java.io.Serializable {
        @Override
        public void onCreated(
                Iterable<CacheEntryEvent<? extends String, ? extends Integer>> events) {
            events.forEach(event -> CREATED.put(event.getKey(), true));
        }
    }

    public static void main(String[] arguments) {
        ClientConfig config = new ClientConfig();
        config.setClusterName(System.getenv("CONVOKE_CLUSTER"));
        Job.ports().forEach(port -> config.getNetworkConfig().addAddress(Job.HOST + ":" + port));
        boolean isUnisocket = "one".equals(System.getenv("CONVOKE_MODE"));
        config.getNetworkConfig().setSmartRouting(!isUnisocket).setRedoOperation(true);
        config.setProperty("hazelcast.client.invocation.timeout.seconds", "20");
        var client = HazelcastClient.newHazelcastClient(config);
        var provider = new HazelcastClientCachingProvider();
        var properties = new java.util.Properties();
        properties.put("hazelcast.instance.itself", client);
        var manager = provider.getCacheManager(
                provider.getDefaultURI(), provider.getDefaultClassLoader(), properties);
        var configuration = new MutableConfiguration<String, Integer>()
                .setTypes(String.class, Integer.class)
                .setExpiryPolicyFactory(CreatedExpiryPolicy.factoryOf(Duration.ONE_HOUR));
        Cache<String, Integer> cache = manager.createCache("prices", configuration);
        cache.registerCacheEntryListener(new MutableCacheEntryListenerConfiguration<>(
                FactoryBuilder.factoryOf(new Listener()), null, false, false));
        Map<String, Integer> acknowledged = new HashMap<>();
        Job.run(n -> {
            String key = "key-" + n;
            cache.put(key, n);
            acknowledged.put(key, n);
            Job.check(cache.get(key) == n, "get returns what was put");
            // An event may be lost with the member that sends it.
            if (n % 10 == 0 && isUnisocket) {
                Job.waitFor("event", 5_000, () -> CREATED.containsKey(key));
            }
            Job.check(!cache.putIfAbsent(key, n + 1), "putIfAbsent replaces");
            String counter = "count-" + n % 7;
            cache.putIfAbsent(counter, 0);
            int before = cache.get(counter);
            cache.replace(counter, before, before + 1);
            cache.remove("gone-" + n);
        }, () -> {
            for (var entry : acknowledged.entrySet()) {
                Integer got = cache.get(entry.getKey());
                Job.check(entry.getValue().equals(got), entry.getKey() + " is " + got);
            }
            int count = 0;
            for (var ignored : cache) {
                count += 1;
            }
            Job.check(count >= acknowledged.size(), "the iteration shows " + count + " entries");
        });
    }
}
