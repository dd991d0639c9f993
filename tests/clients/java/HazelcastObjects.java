import com.hazelcast.client.HazelcastClient;
import com.hazelcast.client.config.ClientConfig;
import com.hazelcast.collection.IList;
import com.hazelcast.collection.IQueue;
import com.hazelcast.collection.ISet;
import com.hazelcast.core.HazelcastInstance;
import com.hazelcast.crdt.pncounter.PNCounter;
import com.hazelcast.flakeidgen.FlakeIdGenerator;
import com.hazelcast.map.IMap;
import com.hazelcast.map.listener.EntryAddedListener;
import com.hazelcast.multimap.MultiMap;
import com.hazelcast.replicatedmap.ReplicatedMap;
import com.hazelcast.ringbuffer.Ringbuffer;
import com.hazelcast.topic.ITopic;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/**
 * Hazelcast's client for Java: maps with listeners and locks, queues, lists, sets, multimaps,
 * replicated maps, topics, reliable topics, ringbuffers, counters and ids.
 */
public final class HazelcastObjects {
    private HazelcastObjects() {}

    /** The configuration of a client of the cluster. */
    static ClientConfig config() {
        ClientConfig config = new ClientConfig();
        config.setClusterName(System.getenv("CONVOKE_CLUSTER"));
        var network = config.getNetworkConfig();
        for (int port : Job.ports()) {
            network.addAddress(Job.HOST + ":" + port);
        }
        network.setSmartRouting(!"one".equals(System.getenv("CONVOKE_MODE")));
        network.setRedoOperation(true);
        config.setProperty("hazelcast.client.invocation.timeout.seconds", "20");
        return config;
    }

    public static void main(String[] arguments) {
        HazelcastInstance client = HazelcastClient.newHazelcastClient(config());
        IMap<String, Integer> entries = client.getMap("entries");
        Map<String, Integer> added = new ConcurrentHashMap<>();
        EntryAddedListener<String, Integer> listener =
                event -> added.put(event.getKey(), event.getValue());
        entries.addEntryListener(listener, true);
        IMap<String, Integer> locks = client.getMap("locks");
        IQueue<Integer> queue = client.getQueue("queue");
        IList<Integer> list = client.getList("list");
        ISet<Integer> set = client.getSet("set");
        MultiMap<Integer, Integer> multi = client.getMultiMap("multi");
        ReplicatedMap<Integer, Integer> replicated = client.getReplicatedMap("replicated");
        Ringbuffer<Integer> ringbuffer = client.getRingbuffer("ring");
        PNCounter counter = client.getPNCounter("counter");
        FlakeIdGenerator ids = client.getFlakeIdGenerator("ids");
        Map<Integer, Boolean> received = new ConcurrentHashMap<>();
        ITopic<Integer> topic = client.getTopic("news");
        topic.addMessageListener(message -> received.put(message.getMessageObject(), true));
        Map<Integer, Boolean> arrived = new ConcurrentHashMap<>();
        ITopic<Integer> reliable = client.getReliableTopic("orders");
        reliable.addMessageListener(message -> arrived.put(message.getMessageObject(), true));
        Map<String, Integer> acknowledged = new HashMap<>();
        Set<Long> seen = new HashSet<>();
        boolean isUnisocket = "one".equals(System.getenv("CONVOKE_MODE"));
        Job.run(n -> {
            String key = "key-" + n;
            entries.set(key, n, 10, TimeUnit.MINUTES);
            acknowledged.put(key, n);
            Job.check(entries.get(key) == n, "get returns what was set");
            // An event may be lost with the member that sends it.
            if (n % 10 == 0 && isUnisocket) {
                Job.waitFor("event", 5_000, () -> added.containsKey(key));
            }
            String name = "lock-" + n % 7;
            Job.check(locks.tryLock(name, 10, TimeUnit.SECONDS, 10, TimeUnit.SECONDS),
                    "a free lock is refused");
            locks.unlock(name);
            queue.offer(n);
            Job.check(queue.poll(5, TimeUnit.SECONDS) != null, "the queue is empty");
            list.add(n);
            set.add(n % 10);
            multi.put(n % 10, n);
            Job.check(multi.get(n % 10).contains(n), "the multimap lacks a value");
            replicated.put(n % 10, n);
            Job.check(replicated.get(n % 10) == n, "the replicated map lacks a value");
            long sequence = ringbuffer.add(n);
            Job.check(ringbuffer.readOne(sequence) == n, "the ringbuffer lacks an item");
            counter.addAndGet(1);
            Job.check(seen.add(ids.newId()), "an id was handed out twice");
            topic.publish(n);
            Job.waitFor("message", 5_000, () -> received.containsKey(n));
            reliable.publish(n);
            Job.waitFor("reliable message", 5_000, () -> arrived.containsKey(n));
        }, () -> {
            for (var entry : acknowledged.entrySet()) {
                Integer got = entries.get(entry.getKey());
                Job.check(entry.getValue().equals(got), entry.getKey() + " is " + got);
            }
            Job.check(set.size() == 10, "the set has lost an element");
        });
    }
}
