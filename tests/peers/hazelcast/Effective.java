import com.hazelcast.config.AdvancedNetworkConfig;
import com.hazelcast.config.AliasedDiscoveryConfig;
import com.hazelcast.config.Config;
import com.hazelcast.config.DiscoveryStrategyConfig;
import com.hazelcast.config.EvictionConfig;
import com.hazelcast.config.EvictionPolicy;
import com.hazelcast.config.InterfacesConfig;
import com.hazelcast.config.JoinConfig;
import com.hazelcast.config.MapConfig;
import com.hazelcast.config.MaxSizePolicy;
import com.hazelcast.config.MulticastConfig;
import com.hazelcast.config.NetworkConfig;
import com.hazelcast.config.ServerSocketEndpointConfig;
import com.hazelcast.config.SplitBrainProtectionConfig;
import com.hazelcast.config.SymmetricEncryptionConfig;
import com.hazelcast.instance.EndpointQualifier;
import com.hazelcast.internal.util.AddressUtil;
import java.io.File;
import java.util.Collection;
import java.util.Map;
import java.util.TreeSet;

/**
 * Prints what Hazelcast reads in configuration files, as lines "name = value" below "[file]".
 * A file that Hazelcast does not take has the one line "refused = why". No member is started.
 */
public class Effective {
    /** What stands for no value. */
    private static final String NONE = "-";
    /** What a "*" in the name of a map is replaced by, for a map that the name is a pattern of. */
    private static final String PROBE = "probe";

    public static void main(String[] files) {
        for (String file : files) {
            System.out.println("[" + new File(file).getName() + "]");
            try {
                show(Config.loadFromFile(new File(file), System.getProperties()));
            } catch (Exception e) {
                print("refused", e.getMessage());
            }
        }
    }

    private static void show(Config config) {
        // Checked by Hazelcast when the member starts.
        join(config).verify();
        print("cluster-name", config.getClusterName());
        print("instance-name", config.getInstanceName());
        print("lite", config.isLiteMember());
        String partitions = config.getProperty("hazelcast.partition.count");
        print("partition-count", partitions == null ? "271" : partitions);
        showNetwork(config);
        showJoin(config);
        showMaps(config);
    }

    private static JoinConfig join(Config config) {
        AdvancedNetworkConfig advanced = config.getAdvancedNetworkConfig();
        return advanced.isEnabled() ? advanced.getJoin() : config.getNetworkConfig().getJoin();
    }

    private static void showNetwork(Config config) {
        AdvancedNetworkConfig advanced = config.getAdvancedNetworkConfig();
        SymmetricEncryptionConfig encryption;
        if (advanced.isEnabled()) {
            ServerSocketEndpointConfig endpoint = (ServerSocketEndpointConfig)
                    advanced.getEndpointConfigs().get(EndpointQualifier.MEMBER);
            showSocket(endpoint.getPort(), endpoint.getPortCount(), endpoint.isPortAutoIncrement(),
                    endpoint.isReuseAddress(), endpoint.getPublicAddress(), endpoint.getInterfaces());
            encryption = endpoint.getSymmetricEncryptionConfig();
        } else {
            NetworkConfig network = config.getNetworkConfig();
            showSocket(network.getPort(), network.getPortCount(), network.isPortAutoIncrement(),
                    network.isReuseAddress(), network.getPublicAddress(), network.getInterfaces());
            encryption = network.getSymmetricEncryptionConfig();
        }
        boolean isEncrypted = encryption != null && encryption.isEnabled();
        print("password", isEncrypted ? encryption.getPassword() : null);
    }

    private static int port(Config config) {
        AdvancedNetworkConfig advanced = config.getAdvancedNetworkConfig();
        return advanced.isEnabled()
                ? ((ServerSocketEndpointConfig) advanced.getEndpointConfigs().get(EndpointQualifier.MEMBER)).getPort()
                : config.getNetworkConfig().getPort();
    }

    /** The port that Hazelcast connects to where an address has none. */
    private static String withPort(String member, int port) {
        AddressUtil.AddressHolder holder = AddressUtil.getAddressHolder(member, port);
        String host = holder.getAddress();
        return (host.contains(":") ? "[" + host + "]" : host) + ":" + holder.getPort();
    }

    private static void showSocket(int port, int count, boolean goesOn, boolean isReused,
                                   String address, InterfacesConfig interfaces) {
        print("port", port);
        print("ports-tried", goesOn ? count : 1);
        print("reuse-address", isReused);
        print("public-address", address);
        print("interfaces", interfaces.isEnabled() ? list(interfaces.getInterfaces()) : null);
    }

    private static void showJoin(Config config) {
        JoinConfig join = join(config);
        MulticastConfig multicast = join.getMulticastConfig();
        String way;
        if (multicast.isEnabled()) {
            way = "multicast";
        } else if (join.getTcpIpConfig().isEnabled()) {
            way = "tcp-ip";
        } else if (join.getKubernetesConfig().isEnabled()) {
            way = "kubernetes";
        } else if (isCloud(join)) {
            way = "cloud";
        } else if (join.isAutoDetectionEnabled()) {
            way = "auto";
        } else {
            way = strategy(config, join);
        }
        print("join", way);
        if (way.equals("multicast") || way.equals("auto")) {
            print("multicast-group", multicast.getMulticastGroup());
            print("multicast-port", multicast.getMulticastPort());
            print("multicast-ttl", multicast.getMulticastTimeToLive());
            print("multicast-timeout", multicast.getMulticastTimeoutSeconds());
            print("trusted-interfaces", list(multicast.getTrustedInterfaces()));
        }
        if (way.equals("tcp-ip")) {
            print("members", list(join.getTcpIpConfig().getMembers()));
            String required = join.getTcpIpConfig().getRequiredMember();
            print("required-member", required == null ? null : withPort(required, port(config)));
        }
        if (way.equals("kubernetes")) {
            if (join.getKubernetesConfig().isEnabled()) {
                showProperties(join.getKubernetesConfig().getProperties());
            }
            for (DiscoveryStrategyConfig strategy : join.getDiscoveryConfig().getDiscoveryStrategyConfigs()) {
                showProperties(strategy.getProperties());
            }
        }
    }

    private static boolean isCloud(JoinConfig join) {
        for (AliasedDiscoveryConfig<?> cloud : new AliasedDiscoveryConfig<?>[] {
            join.getAwsConfig(), join.getGcpConfig(), join.getAzureConfig(), join.getEurekaConfig()}) {
            if (cloud.isEnabled()) {
                return true;
            }
        }
        return false;
    }

    /** The way that plug-ins are, which count only when a property says so. */
    private static String strategy(Config config, JoinConfig join) {
        boolean isOn = Boolean.parseBoolean(config.getProperty("hazelcast.discovery.enabled"));
        for (DiscoveryStrategyConfig strategy : join.getDiscoveryConfig().getDiscoveryStrategyConfigs()) {
            boolean isKubernetes = String.valueOf(strategy.getClassName()).endsWith("KubernetesDiscoveryStrategy");
            return !isOn ? "none" : isKubernetes ? "kubernetes" : "strategy";
        }
        return "none";
    }

    private static void showProperties(Map<String, ? extends Comparable> properties) {
        for (String name : new TreeSet<>(properties.keySet())) {
            print("kubernetes." + plain(name), properties.get(name));
        }
    }

    /** Hazelcast finds its properties without regard to case and dashes. */
    private static String plain(String name) {
        return name.replace("-", "").toLowerCase();
    }

    private static void showMaps(Config config) {
        TreeSet<String> names = new TreeSet<>();
        names.add(PROBE);
        for (String name : config.getMapConfigs().keySet()) {
            names.add(name.replace("*", PROBE));
        }
        for (String name : names) {
            showMap(config, name, config.findMapConfig(name));
        }
    }

    private static void showMap(Config config, String name, MapConfig map) {
        String path = "map[" + name + "].";
        print(path + "backups", map.getBackupCount());
        print(path + "async-backups", map.getAsyncBackupCount());
        print(path + "ttl-s", map.getTimeToLiveSeconds());
        print(path + "max-idle-s", map.getMaxIdleSeconds());
        EvictionConfig eviction = map.getEvictionConfig();
        boolean isBound = eviction.getEvictionPolicy() != EvictionPolicy.NONE
                && eviction.getSize() != Integer.MAX_VALUE && eviction.getSize() != 0;
        boolean isOfMemory = eviction.getMaxSizePolicy() == MaxSizePolicy.USED_HEAP_SIZE
                || eviction.getMaxSizePolicy() == MaxSizePolicy.USED_NATIVE_MEMORY_SIZE;
        String unit = isOfMemory ? "MiB" : String.valueOf(eviction.getMaxSizePolicy());
        print(path + "eviction", isBound
                ? eviction.getEvictionPolicy() + " at " + eviction.getSize() + " " + unit : null);
        String policy = map.getMergePolicyConfig().getPolicy();
        print(path + "merge-policy", policy.substring(policy.lastIndexOf('.') + 1));
        SplitBrainProtectionConfig rule = map.getSplitBrainProtectionName() == null ? null
                : config.getSplitBrainProtectionConfig(map.getSplitBrainProtectionName());
        print(path + "minimum-members", rule != null && rule.isEnabled() ? rule.getMinimumClusterSize() : 1);
        print(path + "statistics", map.isPerEntryStatsEnabled());
    }

    private static String list(Collection<String> values) {
        return values.isEmpty() ? null : String.join(", ", new TreeSet<>(values));
    }

    private static void print(String name, Object value) {
        String text = value == null ? NONE : String.valueOf(value).replaceAll("\\s+", " ").trim();
        System.out.println(name + " = " + (text.isEmpty() ? NONE : text));
    }
}
