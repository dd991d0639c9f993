import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import io.lettuce.core.ScriptOutputType;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.cluster.ClusterClientOptions;
import io.lettuce.core.cluster.ClusterTopologyRefreshOptions;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.cluster.api.sync.RedisClusterCommands;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Lettuce: commands, a transaction and a script. */
public final class LettuceCommands {
    private LettuceCommands() {}

    public static void main(String[] arguments) {
        RedisClusterCommands<String, String> client = connect();
        Map<String, String> acknowledged = new HashMap<>();
        Job.run(n -> {
            String key = "key:" + n;
            client.set(key, "" + n);
            acknowledged.put(key, "" + n);
            Job.check(client.get(key).equals("" + n), "GET returns what was set");
            if (client instanceof RedisCommands<String, String> one) {
                one.multi();
                one.set("{" + n + "}t", "1");
                one.incr("{" + n + "}t");
                var replies = one.exec();
                Job.check(replies.get(1).equals(2L), "a transaction returned " + replies);
            }
            client.mset(Map.of("a:" + n, "1", "b:" + n, "2", "c:" + n, "3"));
            long found = client.exists("a:" + n, "b:" + n, "c:" + n);
            Job.check(found == 3, "EXISTS returned " + found);
            String script = "return redis.call('incrby', KEYS[1], ARGV[1])";
            String[] keys = {"{" + n + "}sum"};
            client.eval(script, ScriptOutputType.INTEGER, keys, "" + n);
        }, () -> {
            for (var entry : acknowledged.entrySet()) {
                String got = client.get(entry.getKey());
                Job.check(entry.getValue().equals(got), entry.getKey() + " is " + got);
            }
        });
    }

    private static RedisClusterCommands<String, String> connect() {
        List<RedisURI> addresses = Job.ports().stream()
                .map(port -> RedisURI.Builder.redis(Job.HOST, port)
                        .withTimeout(Duration.ofSeconds(5)).build())
                .toList();
        if (!Job.isCluster()) {
            return RedisClient.create(addresses.get(0)).connect().sync();
        }
        RedisClusterClient client = RedisClusterClient.create(addresses);
        // Without it the client keeps the nodes that it found first.
        client.setOptions(ClusterClientOptions.builder()
                .topologyRefreshOptions(ClusterTopologyRefreshOptions.builder()
                        .enableAllAdaptiveRefreshTriggers()
                        .enablePeriodicRefresh(Duration.ofSeconds(5))
                        .build())
                .build());
        return client.connect().sync();
    }
}
