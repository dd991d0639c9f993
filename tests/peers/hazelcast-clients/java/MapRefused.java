import com.hazelcast.core.HazelcastInstance;
import com.hazelcast.map.EntryProcessor;
import com.hazelcast.map.IMap;
import com.hazelcast.map.MapInterceptor;
import com.hazelcast.query.Predicates;
import com.hazelcast.transaction.TransactionContext;
import java.io.Serializable;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;

/** Code of the application on members, SQL, CP, Jet and transactions. Members of Hazelcast have its classes. */
final class MapRefused {
    private MapRefused() {}

    /** An entry processor. */
    static final class Increment implements EntryProcessor<Object, Object, Object> {
        @Override
        public Object process(Map.Entry<Object, Object> entry) {
            Integer value = (Integer) entry.getValue();
            return entry.setValue(value == null ? 1 : value + 1);
        }
    }

    /** A task. */
    static final class Task implements Callable<Object>, Serializable {
        @Override
        public Object call() {
            return "called";
        }
    }

    /** An interceptor. */
    static final class Interceptor implements MapInterceptor {
        @Override
        public Object interceptGet(Object value) {
            return value;
        }

        @Override
        public void afterGet(Object value) { }

        @Override
        public Object interceptPut(Object oldValue, Object newValue) {
            return newValue;
        }

        @Override
        public void afterPut(Object value) { }

        @Override
        public Object interceptRemove(Object removedValue) {
            return removedValue;
        }

        @Override
        public void afterRemove(Object oldValue) { }
    }

    private static void refused(String name, MapBasics.Body body) {
        MapBasics.add("refused-" + name, body);
    }

    static void add() {
        refused("execute-on-key", (it, map) -> {
            it.see(() -> map.executeOnKey("k", new Increment()));
            it.see(() -> map.submitToKey("k", new Increment()).toCompletableFuture().get());
            it.see(() -> map.get("k"));
        });
        refused("execute-on-keys", (it, map) -> it.see(() -> map.executeOnKeys(Set.of("k"), new Increment())));
        refused("execute-on-entries", (it, map) -> {
            map.set("k", 1);
            it.see(() -> map.executeOnEntries(new Increment()));
        });
        refused("execute-with-predicate", (it, map) -> {
            map.set("k", 1);
            it.see(() -> map.executeOnEntries(new Increment(), Predicates.alwaysTrue()));
        });
        refused("interceptor", (it, map) -> it.see(() -> map.addInterceptor(new Interceptor()) != null));
        refused("replace-all", (it, map) -> {
            map.set("k", 1);
            it.act(() -> map.replaceAll((key, value) -> (Integer) value + 1));
            it.see(() -> map.get("k"));
        });
        refused("query-cache", (it, map) -> {
            map.set("k", 1);
            it.see(() -> map.getQueryCache("cache", Predicates.alwaysTrue(), true).size());
        });
        refused("sql", (it, map) -> it.see(() -> it.client().getSql().execute("SELECT 1") != null));
        refused("jet", (it, map) -> it.see(() -> it.client().getJet().getJobs()));
        refused("cp-atomic-long", (it, map) ->
                it.see(() -> it.client().getCPSubsystem().getAtomicLong(it.fresh()).incrementAndGet()));
        refused("cp-lock", (it, map) ->
                it.see(() -> it.client().getCPSubsystem().getLock(it.fresh()).tryLock(1, TimeUnit.SECONDS)));
        refused("cp-semaphore", (it, map) ->
                it.see(() -> it.client().getCPSubsystem().getSemaphore(it.fresh()).init(1)));
        refused("executor", (it, map) ->
                it.see(() -> it.client().getExecutorService(it.fresh()).submit(new Task()).get(10, TimeUnit.SECONDS)));
        refused("durable-executor", (it, map) -> it.see(() ->
                it.client().getDurableExecutorService(it.fresh()).submit(new Task()).get(10, TimeUnit.SECONDS)));
        refused("scheduled-executor", (it, map) -> it.see(() -> it.client().getScheduledExecutorService(it.fresh())
                .schedule(new Task(), 1, TimeUnit.MILLISECONDS).get(10, TimeUnit.SECONDS)));
        refused("cardinality-estimator", (it, map) -> {
            it.act(() -> it.client().getCardinalityEstimator(it.fresh()).add("a"));
            it.see(() -> it.client().getCardinalityEstimator(it.fresh()).estimate());
        });
        refused("transaction", (it, map) -> it.see(() -> {
            HazelcastInstance client = it.client();
            TransactionContext context = client.newTransactionContext();
            context.beginTransaction();
            context.getMap(it.fresh()).put("k", 1);
            context.commitTransaction();
            return client.getMap(it.fresh()).get("k");
        }));
        refused("after-a-refusal-the-client-works", (it, map) -> {
            it.see(() -> it.client().getExecutorService(it.fresh()).submit(new Task()).get(10, TimeUnit.SECONDS));
            it.see(() -> map.put("k", 1));
            it.see(() -> map.get("k"));
        });
    }
}
