import com.hazelcast.client.HazelcastClient;
import com.hazelcast.client.config.ClientConfig;
import com.hazelcast.core.HazelcastInstance;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** One case: performs operations, and notes what each returned. */
final class Case {
    /** The longest time to wait for a condition. */
    static final long WAIT_MS = 12_000;
    /** For how long an event that must not come is waited for. */
    static final long QUIET_MS = 150;
    private static final long POLL_MS = 10;

    /** What a case does. */
    interface Body {
        void run(Case it) throws Exception;
    }

    /** An operation without result. */
    interface Action {
        void run() throws Exception;
    }

    /** Different in each run, so that a member may be used again. */
    private static final String RUN = Long.toString(System.nanoTime() & 0xFFFFFFFL, 36);

    private final String name;
    private final HazelcastInstance client;
    private final List<String> seen = Collections.synchronizedList(new ArrayList<>());
    private final List<HazelcastInstance> others = new ArrayList<>();

    Case(String name, HazelcastInstance client) {
        this.name = name;
        this.client = client;
    }

    /** The client that all cases share. */
    HazelcastInstance client() {
        return client;
    }

    /** The name of a structure that no other case uses. */
    String fresh() {
        return name + "-" + RUN;
    }

    /** Notes what an operation returns, or its error. */
    void see(Callable<?> operation) {
        Object outcome;
        try {
            outcome = operation.call();
        } catch (Exception | StackOverflowError | AssertionError error) {
            outcome = error;
        }
        note(outcome);
    }

    /** Notes the error of an operation, or `ok`. */
    void act(Action operation) {
        try {
            operation.run();
            seen.add("ok");
        } catch (Exception | StackOverflowError | AssertionError error) {
            note(error);
        }
    }

    /** Notes a value. */
    void note(Object value) {
        seen.add(Text.of(value));
    }

    /** Waits for a condition, and notes whether it came true. */
    void await(BooleanSupplier condition) throws InterruptedException {
        seen.add(isSoon(condition) ? "came" : "did not come");
    }

    /** Waits for a condition; false if it does not come true. */
    static boolean isSoon(BooleanSupplier condition) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(WAIT_MS);
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() - end > 0) {
                return false;
            }
            Thread.sleep(POLL_MS);
        }
        return true;
    }

    /** Runs an operation in a thread of its own, and so with its own locks. */
    <T> FutureTask<T> start(Callable<T> operation) {
        FutureTask<T> task = new FutureTask<>(operation);
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        thread.start();
        return task;
    }

    /** Notes what an operation returns in another thread. */
    void seeElsewhere(Callable<?> operation) {
        see(() -> start(operation).get(WAIT_MS, TimeUnit.MILLISECONDS));
    }

    /** Notes what a started operation returns. */
    void seeEnd(FutureTask<?> task) {
        see(() -> task.get(2 * WAIT_MS, TimeUnit.MILLISECONDS));
    }

    /** A client of its own, which is closed after the case. */
    HazelcastInstance another() {
        return another(Main.config());
    }

    /** A client with this configuration, which is closed after the case. */
    HazelcastInstance another(ClientConfig config) {
        HazelcastInstance other = HazelcastClient.newHazelcastClient(config);
        others.add(other);
        return other;
    }

    /** What the case has seen, in one line. */
    String outcome() {
        synchronized (seen) {
            return String.join("; ", seen);
        }
    }

    void close() {
        others.forEach(HazelcastInstance::shutdown);
    }

    /** Events, as texts. */
    static final class Events {
        private final ConcurrentLinkedQueue<String> texts = new ConcurrentLinkedQueue<>();

        void add(Object... parts) {
            List<String> all = new ArrayList<>();
            for (Object part : parts) {
                all.add(part instanceof Enum ? part.toString() : Text.of(part));
            }
            texts.add(String.join(" ", all));
        }

        int count() {
            return texts.size();
        }
    }

    /** Waits for a number of events, and then for further ones; notes them in their order. */
    void events(Events events, int count) throws InterruptedException {
        isSoon(() -> events.count() >= count);
        Thread.sleep(QUIET_MS);
        seen.add("events [" + String.join(", ", events.texts) + "]");
    }

    /** The same for events that each member may send. */
    void distinctEvents(Events events, int count) throws InterruptedException {
        isSoon(() -> events.count() >= count);
        Thread.sleep(QUIET_MS);
        seen.add("events " + new java.util.LinkedHashSet<>(events.texts));
    }

    /** The same for events of several keys, whose order does not count. */
    void eventsOfKeys(Events events, int count) throws InterruptedException {
        isSoon(() -> events.count() >= count);
        Thread.sleep(QUIET_MS);
        List<String> sorted = new ArrayList<>(events.texts);
        Collections.sort(sorted);
        seen.add("events (" + String.join(", ", sorted) + ")");
    }
}
