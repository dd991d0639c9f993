import com.hazelcast.config.Config;
import com.hazelcast.config.JoinConfig;
import com.hazelcast.core.Hazelcast;
import com.hazelcast.core.HazelcastInstance;
import java.util.ArrayList;
import java.util.List;

/**
 * Members of Hazelcast on loopback, with the settings that Convoke has: `Member NAME PORT...` prints
 * `READY` when the cluster is complete, and ends when its standard input is closed.
 */
public final class Member {
    private Member() {}

    public static void main(String[] arguments) throws Exception {
        List<HazelcastInstance> members = new ArrayList<>();
        for (int index = 1; index < arguments.length; index++) {
            members.add(Hazelcast.newHazelcastInstance(config(arguments, index)));
        }
        for (HazelcastInstance member : members) {
            while (member.getCluster().getMembers().size() < members.size()
                    || !member.getPartitionService().isClusterSafe()) {
                Thread.sleep(50);
            }
        }
        System.out.println("READY");
        while (System.in.read() >= 0) {
            // Only the end matters.
        }
        Runtime.getRuntime().halt(0);
    }

    private static Config config(String[] arguments, int own) {
        Config config = new Config();
        config.setClusterName(arguments[0]);
        config.setProperty("hazelcast.logging.type", "none");
        config.setProperty("hazelcast.phone.home.enabled", "false");
        config.setProperty("hazelcast.socket.bind.any", "false");
        config.getJetConfig().setEnabled(false);
        config.getNetworkConfig().setPort(Integer.parseInt(arguments[own])).setPortAutoIncrement(false);
        config.getNetworkConfig().getInterfaces().setEnabled(true).addInterface("127.0.0.1");
        JoinConfig join = config.getNetworkConfig().getJoin();
        join.getAutoDetectionConfig().setEnabled(false);
        join.getMulticastConfig().setEnabled(false);
        join.getTcpIpConfig().setEnabled(true);
        for (int index = 1; index < arguments.length; index++) {
            join.getTcpIpConfig().addMember("127.0.0.1:" + arguments[index]);
        }
        return config;
    }
}
