import com.hazelcast.client.HazelcastClient;
import com.hazelcast.client.config.ClientConfig;
import com.hazelcast.core.HazelcastInstance;
import com.hazelcast.map.IMap;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Load on a cluster by Hazelcast's client, for the bench: {@code Load.java CLUSTER PORT…}. Reads
 * a command from each line and answers with one:
 *
 * <pre>
 * fill ENTRIES                  ok
 * sync set|get THREADS SECONDS  OPERATIONS P50 P99.9, in microseconds
 * async set|get WINDOW SECONDS  the same, with WINDOW requests in flight
 * start                         microseconds until a further client has its first value
 * </pre>
 */
public final class Load {
    private static final int VALUE_BYTES = 100;
    /** Keys that are read and written. */
    private static final int KEYS = 100_000;
    /** Requests in flight while the map is filled. */
    private static final int FILL_WINDOW = 256;

    private final String cluster;
    private final List<String> addresses;
    private final HazelcastInstance client;
    private final IMap<String, byte[]> map;
    private final byte[] value = new byte[VALUE_BYTES];

    private Load(String cluster, List<String> addresses) {
        this.cluster = cluster;
        this.addresses = addresses;
        client = HazelcastClient.newHazelcastClient(config());
        map = client.getMap("load");
        Arrays.fill(value, (byte) 'v');
    }

    public static void main(String[] arguments) throws Exception {
        List<String> addresses = new ArrayList<>();
        for (String port : Arrays.asList(arguments).subList(1, arguments.length)) {
            addresses.add("127.0.0.1:" + port);
        }
        Load load = new Load(arguments[0], addresses);
        System.out.println("ready");
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            System.out.println(load.run(line.split(" ")));
        }
        Runtime.getRuntime().halt(0);
    }

    private ClientConfig config() {
        ClientConfig config = new ClientConfig();
        config.setClusterName(cluster);
        addresses.forEach(config.getNetworkConfig()::addAddress);
        config.setProperty("hazelcast.logging.type", "none");
        return config;
    }

    private String run(String[] words) throws Exception {
        switch (words[0]) {
            case "fill":
                fill(Integer.parseInt(words[1]));
                return "ok";
            case "sync":
                return sync(words[1], Integer.parseInt(words[2]), Double.parseDouble(words[3]));
            case "async":
                return async(words[1], Integer.parseInt(words[2]), Double.parseDouble(words[3]));
            case "start":
                return String.valueOf(start());
            default:
                throw new IOException("unknown command " + words[0]);
        }
    }

    private static String key(int number) {
        return String.format("key-%012d", number);
    }

    private static String anyKey() {
        return key(ThreadLocalRandom.current().nextInt(KEYS));
    }

    private void fill(int entries) throws InterruptedException {
        Semaphore window = new Semaphore(FILL_WINDOW);
        for (int number = 0; number < entries; number++) {
            window.acquire();
            map.setAsync(key(number), value).whenComplete((done, error) -> window.release());
        }
        window.acquire(FILL_WINDOW);
    }

    private String sync(String operation, int threads, double seconds) throws Exception {
        boolean sets = operation.equals("set");
        long end = System.nanoTime() + (long) (seconds * 1e9);
        List<Latencies> all = new ArrayList<>();
        List<Thread> running = new ArrayList<>();
        for (int number = 0; number < threads; number++) {
            Latencies own = new Latencies();
            all.add(own);
            Thread thread = new Thread(() -> {
                for (long from = System.nanoTime(); from < end;) {
                    if (sets) {
                        map.set(anyKey(), value);
                    } else {
                        map.get(anyKey());
                    }
                    long now = System.nanoTime();
                    own.add(now - from);
                    from = now;
                }
            });
            running.add(thread);
            thread.start();
        }
        for (Thread thread : running) {
            thread.join();
        }
        return Latencies.of(all).text();
    }

    private String async(String operation, int inFlight, double seconds) throws Exception {
        boolean sets = operation.equals("set");
        long end = System.nanoTime() + (long) (seconds * 1e9);
        Semaphore window = new Semaphore(inFlight);
        Latencies latencies = new Latencies();
        while (System.nanoTime() < end) {
            window.acquire();
            long from = System.nanoTime();
            CompletionStage<?> stage =
                    sets ? map.setAsync(anyKey(), value) : map.getAsync(anyKey());
            stage.whenComplete((done, error) -> {
                latencies.addShared(System.nanoTime() - from);
                window.release();
            });
        }
        window.acquire(inFlight);
        return latencies.text();
    }

    private long start() {
        long from = System.nanoTime();
        HazelcastInstance further = HazelcastClient.newHazelcastClient(config());
        further.getMap("load").get(anyKey());
        long took = (System.nanoTime() - from) / 1_000;
        further.shutdown();
        return took;
    }

    /** Counts by latency, in classes that are 1 % wide. */
    private static final class Latencies {
        private static final int CLASSES = 2_000;
        private final long[] counts = new long[CLASSES];
        private final AtomicLong[] shared = new AtomicLong[CLASSES];

        Latencies() {
            Arrays.setAll(shared, index -> new AtomicLong());
        }

        static Latencies of(List<Latencies> all) {
            Latencies sum = new Latencies();
            for (Latencies one : all) {
                for (int index = 0; index < CLASSES; index++) {
                    sum.counts[index] += one.counts[index];
                }
            }
            return sum;
        }

        private static int index(long nanos) {
            int index = (int) (Math.log(Math.max(1, nanos / 1_000.0)) / Math.log(1.01));
            return Math.min(CLASSES - 1, index);
        }

        void add(long nanos) {
            counts[index(nanos)] += 1;
        }

        void addShared(long nanos) {
            shared[index(nanos)].incrementAndGet();
        }

        private long count(int index) {
            return counts[index] + shared[index].get();
        }

        /** Micros below which this share of the operations is. */
        private long percentile(long operations, double share) {
            long seen = 0;
            for (int index = 0; index < CLASSES; index++) {
                seen += count(index);
                if (seen >= operations * share) {
                    return Math.round(Math.pow(1.01, index + 1));
                }
            }
            return 0;
        }

        String text() {
            long operations = 0;
            for (int index = 0; index < CLASSES; index++) {
                operations += count(index);
            }
            return operations + " " + percentile(operations, 0.5) + " "
                    + percentile(operations, 0.999);
        }
    }
}
