import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import redis.clients.jedis.AbstractPipeline;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.RedisClusterClient;
import redis.clients.jedis.Response;
import redis.clients.jedis.UnifiedJedis;

/** Jedis: commands, a pipeline, a transaction and a script. */
public final class JedisCommands {
    private JedisCommands() {}

    public static void main(String[] arguments) {
        UnifiedJedis client = connect();
        Map<String, String> acknowledged = new HashMap<>();
        Job.run(n -> {
            String key = "key:" + n;
            client.set(key, "" + n);
            acknowledged.put(key, "" + n);
            Job.check(client.get(key).equals("" + n), "GET returns what was set");
            try (AbstractPipeline pipeline = client.pipelined()) {
                pipeline.hset("{" + n + "}h", "n", "" + n);
                Response<String> field = pipeline.hget("{" + n + "}h", "n");
                pipeline.sync();
                Job.check(field.get().equals("" + n), "a pipeline returned " + field.get());
            }
            if (!Job.isCluster()) {
                try (var transaction = client.multi()) {
                    transaction.set("{" + n + "}t", "1");
                    transaction.incr("{" + n + "}t");
                    List<Object> replies = transaction.exec();
                    Job.check(replies.get(1).equals(2L), "a transaction returned " + replies);
                }
            }
            String script = "return redis.call('incrby', KEYS[1], ARGV[1])";
            client.eval(script, List.of("{" + n + "}sum"), List.of("" + n));
        }, () -> {
            for (var entry : acknowledged.entrySet()) {
                String got = client.get(entry.getKey());
                Job.check(entry.getValue().equals(got), entry.getKey() + " is " + got);
            }
        });
    }

    private static UnifiedJedis connect() {
        if (!Job.isCluster()) {
            return RedisClient.create(Job.HOST, Job.ports().get(0));
        }
        Set<HostAndPort> nodes = new HashSet<>();
        for (int port : Job.ports()) {
            nodes.add(new HostAndPort(Job.HOST, port));
        }
        return RedisClusterClient.create(nodes);
    }
}
