import com.hazelcast.client.config.ClientConfig;
import com.hazelcast.cluster.InitialMembershipEvent;
import com.hazelcast.cluster.InitialMembershipListener;
import com.hazelcast.cluster.Member;
import com.hazelcast.cluster.MembershipEvent;
import com.hazelcast.config.ListenerConfig;
import com.hazelcast.core.DistributedObject;
import com.hazelcast.core.DistributedObjectEvent;
import com.hazelcast.core.DistributedObjectListener;
import com.hazelcast.core.HazelcastInstance;
import com.hazelcast.core.LifecycleListener;
import com.hazelcast.partition.Partition;
import com.hazelcast.security.UsernamePasswordCredentials;
import java.util.HashSet;
import java.util.Set;
import java.util.UUID;

/** The client itself: its start and end, members, partitions and lists of structures. */
final class Instances {
    private Instances() {}

    private static void add(String name, Case.Body body) {
        Main.add("client." + name, body);
    }

    private static ClientConfig impatient() {
        ClientConfig config = Main.config();
        config.getConnectionStrategyConfig().getConnectionRetryConfig().setClusterConnectTimeoutMillis(1_500);
        return config;
    }

    static void add() {
        add("wrong-cluster-name", it -> it.see(() -> it.another(impatient().setClusterName("wrong"))));
        add("empty-cluster-name", it -> it.see(() -> it.another(impatient().setClusterName(""))));
        add("password-without-need", it -> {
            ClientConfig config = impatient();
            config.getSecurityConfig().setCredentials(new UsernamePasswordCredentials("someone", "secret"));
            it.see(() -> it.another(config).getMap(it.fresh()).put("k", 1));
        });
        add("one-address-only", it -> {
            ClientConfig config = Main.config();
            config.getNetworkConfig().setSmartRouting(false);
            HazelcastInstance client = it.another(config);
            it.see(() -> client.getMap(it.fresh()).put("k", 1));
            it.see(() -> client.getMap(it.fresh()).get("k"));
            it.see(() -> client.getCluster().getMembers().size());
        });
        add("labels-and-name", it -> {
            ClientConfig config = Main.config().setInstanceName(it.fresh());
            config.addLabel("a").addLabel("ü");
            HazelcastInstance client = it.another(config);
            it.see(() -> client.getName().equals(it.fresh()));
            it.see(() -> client.getMap(it.fresh()).put("k", 1));
        });
        add("lifecycle", it -> {
            Case.Events events = new Case.Events();
            ClientConfig config = Main.config();
            config.addListenerConfig(new ListenerConfig((LifecycleListener) event -> events.add(event.getState())));
            HazelcastInstance client = it.another(config);
            it.see(() -> client.getLifecycleService().isRunning());
            client.shutdown();
            it.see(() -> client.getLifecycleService().isRunning());
            it.see(() -> client.getMap("m"));
            it.events(events, 6);
        });
        add("use-after-shutdown", it -> {
            HazelcastInstance client = it.another();
            var map = client.getMap(it.fresh());
            client.shutdown();
            it.see(() -> map.put("k", 1));
        });
        add("members", it -> {
            Set<Member> members = it.client().getCluster().getMembers();
            it.note(members.size());
            it.note(members.stream().allMatch(member -> member.getAddress().getHost().equals("127.0.0.1")));
            it.note(members.stream().noneMatch(Member::isLiteMember));
            it.note(members.stream().noneMatch(Member::localMember));
            it.note(members.stream().map(Member::getUuid).distinct().count());
            it.note(members.stream().map(member -> member.getVersion().getMajor()).distinct().toList());
        });
        add("membership-listener", it -> {
            Case.Events events = new Case.Events();
            InitialMembershipListener listener = new InitialMembershipListener() {
                @Override
                public void init(InitialMembershipEvent event) {
                    events.add("initial", event.getMembers().size());
                }

                @Override
                public void memberAdded(MembershipEvent event) {
                    events.add("added");
                }

                @Override
                public void memberRemoved(MembershipEvent event) {
                    events.add("removed");
                }
            };
            UUID id = it.client().getCluster().addMembershipListener(listener);
            it.events(events, 1);
            it.see(() -> it.client().getCluster().removeMembershipListener(id));
            it.see(() -> it.client().getCluster().removeMembershipListener(id));
        });
        add("partitions", it -> {
            Set<Partition> partitions = it.client().getPartitionService().getPartitions();
            it.note(partitions.size());
            Case.isSoon(() -> partitions.stream().allMatch(partition -> partition.getOwner() != null));
            Set<Member> owners = new HashSet<>();
            partitions.forEach(partition -> owners.add(partition.getOwner()));
            it.note(owners.equals(it.client().getCluster().getMembers()));
        });
        add("partition-of-keys", it -> {
            for (Object key : new Object[] {"a", "", "schön", 1, 1L, -1.5, true, new UUID(1, 2), new byte[] {1}, 'x'}) {
                it.see(() -> it.client().getPartitionService().getPartition(key).getPartitionId());
            }
        });
        add("partition-lost-listener", it -> {
            UUID id = it.client().getPartitionService().addPartitionLostListener(event -> { });
            it.see(() -> it.client().getPartitionService().removePartitionLostListener(id));
            it.see(() -> it.client().getPartitionService().removePartitionLostListener(id));
        });
        add("migration-listener", it -> {
            it.see(() -> it.client().getPartitionService().isClusterSafe());
        });
        add("distributed-objects", it -> {
            it.client().getMap(it.fresh());
            it.client().getMap(it.fresh() + "-used").put("k", 1);
            it.client().getQueue(it.fresh() + "-queue").add(1);
            it.client().getTopic(it.fresh() + "-topic");
            it.client().getReplicatedMap(it.fresh() + "-replicated").put("k", 1);
            it.client().getPNCounter(it.fresh() + "-counter").addAndGet(1);
            HazelcastInstance other = it.another();
            Set<String> found = new HashSet<>();
            for (DistributedObject object : other.getDistributedObjects()) {
                if (object.getName().startsWith(it.fresh())) {
                    found.add(object.getServiceName() + object.getName().substring(it.fresh().length()));
                }
            }
            it.note(found);
        });
        add("distributed-object-listener", it -> {
            Case.Events events = new Case.Events();
            HazelcastInstance other = it.another();
            UUID id = other.addDistributedObjectListener(new DistributedObjectListener() {
                @Override
                public void distributedObjectCreated(DistributedObjectEvent event) {
                    note(event);
                }

                @Override
                public void distributedObjectDestroyed(DistributedObjectEvent event) {
                    note(event);
                }

                private void note(DistributedObjectEvent event) {
                    if (event.getObjectName().equals(it.fresh())) {
                        events.add(event.getEventType(), event.getServiceName());
                    }
                }
            });
            var map = it.client().getMap(it.fresh());
            map.put("k", 1);
            it.events(events, 1);
            map.destroy();
            it.events(events, 2);
            it.see(() -> other.removeDistributedObjectListener(id));
            it.see(() -> other.removeDistributedObjectListener(id));
        });
        add("unknown-service", it -> it.see(() -> it.client().getDistributedObject("no:such:service", it.fresh())));
        add("empty-names", it -> {
            it.see(() -> it.client().getMap("").put("k", 1));
            it.see(() -> it.client().getQueue("").offer(1));
            it.see(() -> it.client().getTopic("").getName());
            it.client().getMap("").destroy();
            it.client().getQueue("").destroy();
        });
        add("null-names", it -> {
            it.see(() -> it.client().getMap(null));
            it.see(() -> it.client().getQueue(null));
        });
        add("one-name-of-several-kinds", it -> {
            it.see(() -> it.client().getMap(it.fresh()).put("k", 1));
            it.see(() -> it.client().getQueue(it.fresh()).offer(1));
            it.see(() -> it.client().getList(it.fresh()).add(1));
            it.see(() -> it.client().getSet(it.fresh()).add(1));
            it.see(() -> it.client().getMultiMap(it.fresh()).put("k", 1));
            it.see(() -> it.client().getReplicatedMap(it.fresh()).put("k", 1));
            it.see(() -> it.client().getRingbuffer(it.fresh()).add(1));
            it.see(() -> it.client().getMap(it.fresh()).size());
            it.see(() -> it.client().getQueue(it.fresh()).size());
            it.act(() -> it.client().getMap(it.fresh()).destroy());
            it.see(() -> it.client().getList(it.fresh()).size());
        });
        add("user-context-and-config", it -> it.see(() -> it.client().getUserContext().isEmpty()));
        add("many-clients", it -> {
            for (int count = 0; count < 10; count++) {
                HazelcastInstance client = it.another();
                int number = count;
                it.see(() -> client.getMap(it.fresh()).put("k", number));
            }
        });
        add("cluster-state", it -> it.see(() -> it.client().getCluster().getClusterState()));
        add("cluster-time", it -> it.see(() ->
                Math.abs(it.client().getCluster().getClusterTime() - System.currentTimeMillis()) < 60_000));
        add("pipelined-reads", it -> {
            var map = it.client().getMap(it.fresh());
            MapBasics.fill(map, 100);
            var pipelining = new com.hazelcast.core.Pipelining<Object>(10);
            for (int index = 0; index < 100; index++) {
                pipelining.add(map.getAsync("k" + index));
            }
            it.see(pipelining::results);
        });
    }
}
