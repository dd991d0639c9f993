import com.hazelcast.client.HazelcastClient;
import com.hazelcast.client.config.ClientConfig;
import com.hazelcast.core.HazelcastInstance;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/**
 * Runs the cases whose names begin with one of the arguments, or all, against the members at
 * `PEER_PORTS` of the cluster `PEER_CLUSTER`. Prints the name and the outcome of each.
 */
public final class Main {
    /** Cases that run at the same time. */
    private static final int THREADS = 6;
    /** From the start of a case to its end. */
    private static final long CASE_MS_MAX = 60_000;

    private static final Map<String, Case.Body> CASES = new LinkedHashMap<>();

    private Main() {}

    /** Adds a case. */
    static void add(String name, Case.Body body) {
        if (CASES.put(name, body) != null) {
            throw new IllegalStateException("two cases are named " + name);
        }
    }

    /** The configuration of a client of the cluster. */
    static ClientConfig config() {
        ClientConfig config = new ClientConfig();
        config.setClusterName(System.getenv("PEER_CLUSTER"));
        for (String port : System.getenv("PEER_PORTS").split(",")) {
            config.getNetworkConfig().addAddress("127.0.0.1:" + port);
        }
        config.setProperty("hazelcast.logging.type", "none");
        config.setProperty("hazelcast.client.invocation.timeout.seconds", "15");
        config.getConnectionStrategyConfig().getConnectionRetryConfig().setClusterConnectTimeoutMillis(10_000);
        Types.configure(config.getSerializationConfig());
        return config;
    }

    public static void main(String[] arguments) throws Exception {
        System.setProperty("hazelcast.logging.type", "none");
        PrintStream output = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        MapBasics.add();
        MapExpiry.add();
        MapQueries.add();
        MapSums.add();
        MapListeners.add();
        MapLocks.add();
        MapRefused.add();
        NearCaches.add();
        Types.add();
        Replicated.add();
        Multimaps.add();
        Queues.add();
        ListsAndSets.add();
        Ringbuffers.add();
        Topics.add();
        Numbers.add();
        Instances.add();
        Caches.add();
        HazelcastInstance client = HazelcastClient.newHazelcastClient(config());
        ExecutorService threads = Executors.newFixedThreadPool(THREADS);
        CASES.forEach((name, body) -> {
            if (arguments.length == 0 || starts(name, arguments)) {
                threads.submit(() -> {
                    String line = name + "\t" + outcome(name, body, client) + "\n";
                    synchronized (output) {
                        output.print(line);
                        output.flush();
                    }
                });
            }
        });
        threads.shutdown();
        threads.awaitTermination(1, TimeUnit.HOURS);
        output.print("done\t\n");
        output.flush();
        Runtime.getRuntime().halt(0);
    }

    private static boolean starts(String name, String[] arguments) {
        for (String argument : arguments) {
            if (name.startsWith(argument)) {
                return true;
            }
        }
        return false;
    }

    private static String outcome(String name, Case.Body body, HazelcastInstance client) {
        Case it = new Case(name, client);
        Thread thread = new Thread(() -> {
            try {
                body.run(it);
            } catch (Throwable error) {
                it.note("ended");
                it.note(error);
            }
        });
        thread.setDaemon(true);
        thread.start();
        try {
            thread.join(CASE_MS_MAX);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
        if (thread.isAlive()) {
            it.note("did not end");
            return it.outcome();
        }
        it.close();
        return it.outcome();
    }
}
