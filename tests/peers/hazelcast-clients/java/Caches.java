import com.hazelcast.cache.HazelcastCachingProvider;
import com.hazelcast.cache.ICache;
import com.hazelcast.client.cache.HazelcastClientCachingProvider;
import com.hazelcast.config.CacheConfig;
import com.hazelcast.config.EvictionConfig;
import com.hazelcast.config.EvictionPolicy;
import com.hazelcast.config.MaxSizePolicy;
import com.hazelcast.core.HazelcastInstance;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import javax.cache.Cache;
import javax.cache.CacheManager;
import javax.cache.configuration.FactoryBuilder;
import javax.cache.configuration.MutableCacheEntryListenerConfiguration;
import javax.cache.configuration.MutableConfiguration;
import javax.cache.event.CacheEntryCreatedListener;
import javax.cache.event.CacheEntryEvent;
import javax.cache.event.CacheEntryExpiredListener;
import javax.cache.event.CacheEntryRemovedListener;
import javax.cache.event.CacheEntryUpdatedListener;
import javax.cache.expiry.AccessedExpiryPolicy;
import javax.cache.expiry.CreatedExpiryPolicy;
import javax.cache.expiry.Duration;
import javax.cache.expiry.ModifiedExpiryPolicy;
import javax.cache.integration.CompletionListenerFuture;
import javax.cache.processor.EntryProcessor;
import javax.cache.processor.MutableEntry;

/** JCache. */
final class Caches {
    private Caches() {}

    private interface Body {
        void run(Case it, Cache<Object, Object> cache) throws Exception;
    }

    private static CacheManager manager(HazelcastInstance client) {
        Properties properties = HazelcastCachingProvider.propertiesByInstanceItself(client);
        return new HazelcastClientCachingProvider().getCacheManager(null, null, properties);
    }

    private static void add(String name, MutableConfiguration<Object, Object> config, Body body) {
        Main.add("cache." + name, it -> {
            CacheManager manager = manager(it.client());
            body.run(it, manager.createCache(it.fresh(), config));
        });
    }

    private static void add(String name, Body body) {
        add(name, new MutableConfiguration<>(), body);
    }

    /** Notes all events; the listener stays in this process. */
    static final class All implements CacheEntryCreatedListener<Object, Object>,
            CacheEntryUpdatedListener<Object, Object>, CacheEntryRemovedListener<Object, Object>,
            CacheEntryExpiredListener<Object, Object>, java.io.Serializable {
        final transient Case.Events events = new Case.Events();

        private void all(Iterable<CacheEntryEvent<? extends Object, ? extends Object>> list) {
            list.forEach(event -> events.add(event.getEventType(), event.getKey(), event.getOldValue(),
                    event.getValue()));
        }

        @Override
        public void onCreated(Iterable<CacheEntryEvent<? extends Object, ? extends Object>> list) {
            all(list);
        }

        @Override
        public void onUpdated(Iterable<CacheEntryEvent<? extends Object, ? extends Object>> list) {
            all(list);
        }

        @Override
        public void onRemoved(Iterable<CacheEntryEvent<? extends Object, ? extends Object>> list) {
            all(list);
        }

        @Override
        public void onExpired(Iterable<CacheEntryEvent<? extends Object, ? extends Object>> list) {
            all(list);
        }
    }

    /** An entry processor. */
    static final class Increment implements EntryProcessor<Object, Object, Object>, java.io.Serializable {
        @Override
        public Object process(MutableEntry<Object, Object> entry, Object... arguments) {
            entry.setValue(entry.exists() ? (Integer) entry.getValue() + 1 : 1);
            return entry.getValue();
        }
    }

    @SuppressWarnings("unchecked")
    private static ICache<Object, Object> own(Cache<Object, Object> cache) {
        return cache.unwrap(ICache.class);
    }

    static void add() {
        add("put-and-get", (it, cache) -> {
            it.see(() -> cache.get("k"));
            it.act(() -> cache.put("k", 1));
            it.see(() -> cache.get("k"));
            it.see(() -> cache.getAndPut("k", 2));
            it.see(() -> cache.getAndPut("l", 3));
            it.see(() -> cache.containsKey("k"));
            it.see(() -> cache.putIfAbsent("k", 9));
            it.see(() -> cache.putIfAbsent("m", 9));
            it.see(() -> own(cache).size());
        });
        add("replace-and-remove", (it, cache) -> {
            it.see(() -> cache.replace("k", 1));
            it.see(() -> cache.getAndReplace("k", 1));
            it.see(() -> cache.remove("k"));
            it.see(() -> cache.getAndRemove("k"));
            cache.put("k", 1);
            it.see(() -> cache.replace("k", 2));
            it.see(() -> cache.replace("k", 1, 3));
            it.see(() -> cache.replace("k", 2, 3));
            it.see(() -> cache.getAndReplace("k", 4));
            it.see(() -> cache.remove("k", 3));
            it.see(() -> cache.remove("k", 4));
            cache.put("k", 1);
            it.see(() -> cache.getAndRemove("k"));
        });
        add("several-entries", (it, cache) -> {
            it.act(() -> cache.putAll(Map.of("a", 1, "b", 2, "c", 3)));
            it.see(() -> cache.getAll(Set.of("a", "c", "x")));
            it.act(() -> cache.removeAll(Set.of("a", "x")));
            it.see(() -> own(cache).size());
            it.act(cache::removeAll);
            it.see(() -> own(cache).size());
            cache.put("k", 1);
            it.act(cache::clear);
            it.see(() -> cache.get("k"));
        });
        add("null-arguments", (it, cache) -> {
            it.see(() -> cache.get(null));
            it.act(() -> cache.put(null, 1));
            it.act(() -> cache.put("k", null));
            it.see(() -> cache.getAll(null));
            it.see(() -> cache.remove(null));
            it.see(() -> cache.replace("k", null, 1));
        });
        add("iterator", (it, cache) -> {
            for (int index = 0; index < 150; index++) {
                cache.put("k" + index, index);
            }
            List<Object> entries = new ArrayList<>();
            Iterator<Cache.Entry<Object, Object>> all = cache.iterator();
            while (all.hasNext()) {
                Cache.Entry<Object, Object> entry = all.next();
                entries.add(entry.getKey());
                if ((Integer) entry.getValue() < 50) {
                    all.remove();
                }
            }
            it.note(Text.sorted(entries));
            it.see(() -> own(cache).size());
            it.see(() -> cache.iterator().next() != null);
        });
        add("listener", (it, cache) -> {
            All all = new All();
            var config = new MutableCacheEntryListenerConfiguration<Object, Object>(
                    new FactoryBuilder.SingletonFactory<>(all), null, true, false);
            it.act(() -> cache.registerCacheEntryListener(config));
            it.act(() -> cache.registerCacheEntryListener(config));
            cache.put("k", 1);
            cache.put("k", 2);
            cache.remove("k");
            it.events(all.events, 3);
            it.act(() -> cache.deregisterCacheEntryListener(config));
            cache.put("k", 1);
            it.events(all.events, 3);
        });
        add("listener-without-old-value", (it, cache) -> {
            All all = new All();
            var config = new MutableCacheEntryListenerConfiguration<Object, Object>(
                    new FactoryBuilder.SingletonFactory<>(all), null, false, true);
            it.act(() -> cache.registerCacheEntryListener(config));
            cache.put("k", 1);
            cache.replace("k", 2);
            cache.getAndRemove("k");
            it.events(all.events, 3);
        });
        add("expiry-created",
                new MutableConfiguration<Object, Object>().setExpiryPolicyFactory(
                        CreatedExpiryPolicy.factoryOf(new Duration(TimeUnit.SECONDS, 1))), (it, cache) -> {
                    cache.put("k", 1);
                    it.see(() -> cache.get("k"));
                    it.await(() -> cache.get("k") == null);
                    it.see(() -> cache.putIfAbsent("k", 2));
                });
        add("expiry-accessed",
                new MutableConfiguration<Object, Object>().setExpiryPolicyFactory(
                        AccessedExpiryPolicy.factoryOf(new Duration(TimeUnit.SECONDS, 3))), (it, cache) -> {
                    cache.put("k", 1);
                    for (int step = 0; step < 9; step++) {
                        Thread.sleep(500);
                        cache.get("k");
                    }
                    it.see(() -> cache.get("k"));
                    Thread.sleep(4_000);
                    it.see(() -> cache.get("k"));
                });
        add("expiry-modified",
                new MutableConfiguration<Object, Object>().setExpiryPolicyFactory(
                        ModifiedExpiryPolicy.factoryOf(new Duration(TimeUnit.SECONDS, 1))), (it, cache) -> {
                    cache.put("k", 1);
                    it.await(() -> !cache.containsKey("k"));
                });
        add("expiry-zero",
                new MutableConfiguration<Object, Object>().setExpiryPolicyFactory(
                        CreatedExpiryPolicy.factoryOf(Duration.ZERO)), (it, cache) -> {
                    it.act(() -> cache.put("k", 1));
                    it.see(() -> cache.get("k"));
                    it.see(() -> cache.putIfAbsent("k", 1));
                    it.see(() -> cache.containsKey("k"));
                });
        add("expiry-of-an-operation", (it, cache) -> {
            ICache<Object, Object> own = own(cache);
            own.put("k", 1, new CreatedExpiryPolicy(new Duration(TimeUnit.SECONDS, 1)));
            it.see(() -> own.get("k"));
            it.await(() -> own.get("k") == null);
            own.put("l", 1);
            it.see(() -> own.setExpiryPolicy("l", new ModifiedExpiryPolicy(new Duration(TimeUnit.SECONDS, 1))));
            it.see(() -> own.setExpiryPolicy("none", new ModifiedExpiryPolicy(Duration.ONE_DAY)));
            it.await(() -> own.get("l") == null);
        });
        add("asynchronous", (it, cache) -> {
            ICache<Object, Object> own = own(cache);
            it.see(() -> own.putAsync("k", 1).toCompletableFuture().get());
            it.see(() -> own.getAsync("k").toCompletableFuture().get());
            it.see(() -> own.getAndPutAsync("k", 2).toCompletableFuture().get());
            it.see(() -> own.putIfAbsentAsync("k", 3).toCompletableFuture().get());
            it.see(() -> own.replaceAsync("k", 2, 4).toCompletableFuture().get());
            it.see(() -> own.getAndReplaceAsync("k", 5).toCompletableFuture().get());
            it.see(() -> own.removeAsync("k", 9).toCompletableFuture().get());
            it.see(() -> own.getAndRemoveAsync("k").toCompletableFuture().get());
            it.see(() -> own.removeAsync("k").toCompletableFuture().get());
        });
        add("entry-processor", (it, cache) -> {
            it.see(() -> cache.invoke("k", new Increment()));
            it.see(() -> cache.invokeAll(Set.of("k"), new Increment()).size());
        });
        add("load-all", (it, cache) -> {
            CompletionListenerFuture done = new CompletionListenerFuture();
            it.act(() -> cache.loadAll(Set.of("k"), true, done));
            it.see(() -> done.get(5, TimeUnit.SECONDS));
        });
        add("closed-and-destroyed", (it, cache) -> {
            cache.put("k", 1);
            cache.close();
            it.see(cache::isClosed);
            it.see(() -> cache.get("k"));
            CacheManager manager = manager(it.client());
            it.see(() -> manager.getCache(it.fresh()).get("k"));
            it.act(() -> manager.destroyCache(it.fresh()));
            it.see(() -> manager.getCache(it.fresh()));
        });
        add("created-twice", (it, cache) ->
                it.see(() -> manager(it.client()).createCache(it.fresh(), new MutableConfiguration<>()) != null));
        add("of-another-client", (it, cache) -> {
            Cache<Object, Object> other = manager(it.another()).getCache(it.fresh());
            cache.put("k", 1);
            it.see(() -> other.get("k"));
            it.see(() -> other.replace("k", 1, 2));
            it.see(() -> cache.get("k"));
        });
        add("values-of-all-kinds", (it, cache) -> {
            List<Object> values = List.of("", 1L, "ü日", new byte[] {1}, new Types.JavaPoint(1, 2),
                    new Types.CompactPerson("Ann", 1, true, null, null), new Types.PortablePerson("Bob", 2, true, 1));
            values.forEach(value -> {
                cache.put("k", value);
                it.see(() -> cache.get("k"));
            });
        });
        add("types-of-the-configuration", (it, cache) -> it.see(() -> {
            MutableConfiguration<String, Integer> config = new MutableConfiguration<String, Integer>()
                    .setTypes(String.class, Integer.class);
            Cache<String, Integer> typed = manager(it.client()).createCache(it.fresh() + "-typed", config);
            typed.put("k", 1);
            return manager(it.client()).getCache(it.fresh() + "-typed", String.class, Long.class);
        }));
        Main.add("cache.eviction", it -> {
            CacheConfig<Object, Object> config = new CacheConfig<>();
            config.setEvictionConfig(new EvictionConfig().setEvictionPolicy(EvictionPolicy.LRU)
                    .setMaxSizePolicy(MaxSizePolicy.ENTRY_COUNT).setSize(1_000));
            Cache<Object, Object> cache = manager(it.client()).createCache(it.fresh(), config);
            for (int index = 0; index < 5_000; index++) {
                cache.put(index, index);
            }
            it.see(() -> own(cache).size() < 3_000);
            it.see(() -> cache.get(4_999));
        });
        Main.add("cache.statistics", it -> {
            MutableConfiguration<Object, Object> config =
                    new MutableConfiguration<Object, Object>().setStatisticsEnabled(true);
            Cache<Object, Object> cache = manager(it.client()).createCache(it.fresh(), config);
            cache.put("k", 1);
            cache.get("k");
            cache.get("none");
            cache.remove("k");
            var statistics = own(cache).getLocalCacheStatistics();
            it.note(statistics.getCachePuts());
            it.note(statistics.getCacheHits());
            it.note(statistics.getCacheMisses());
            it.note(statistics.getCacheRemovals());
        });
        Main.add("cache.names", it -> {
            CacheManager manager = manager(it.client());
            manager.createCache(it.fresh(), new MutableConfiguration<>());
            List<String> names = new ArrayList<>();
            manager.getCacheNames().forEach(name -> {
                if (name.equals(it.fresh())) {
                    names.add("own");
                }
            });
            it.note(names);
            it.see(() -> manager.getCache(it.fresh() + "-none"));
        });
    }
}
