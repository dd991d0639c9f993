"""redis-py as a client of a Redis Cluster; started by `redis_py.py --cluster`."""

import sys

import redis
from redis.cluster import ClusterNode, RedisCluster

from checks import Checks

HOST = "127.0.0.1"
CROSS_SLOT = "Keys in request don't hash to the same slot"

# From the end of a member until all keys can be read again.
SURVIVED_MAX = 10


def connect(ports, protocol):
    nodes = [ClusterNode(HOST, port) for port in ports]
    return RedisCluster(startup_nodes=nodes, decode_responses=True, protocol=protocol)


def topology(checks: Checks, cluster, ports):
    leaders = sorted(node.port for node in cluster.get_primaries())
    checks.equal("each member owns slots", leaders, sorted(ports))
    ranges = sorted(tuple(map(int, each)) for each in cluster.cluster_slots())
    checks.equal("slots begin with 0", ranges[0][0], 0)
    checks.equal("slots end with 16383", ranges[-1][1], 16383)
    gaps = [one for one, next in zip(ranges, ranges[1:]) if one[1] + 1 != next[0]]
    checks.equal("no slot is missing", gaps, [])
    checks.equal(
        "CLUSTER INFO",
        cluster.cluster_info(target_nodes=cluster.get_random_node())["cluster_state"],
        "ok",
    )
    nodes = cluster.cluster_nodes()
    checks.holds(
        "CLUSTER NODES names each member", all(f"{HOST}:{port}" in nodes for port in ports), nodes
    )
    # From the specification of Redis Cluster.
    checks.equal("CLUSTER KEYSLOT", cluster.cluster_keyslot("123456789"), 12739)
    tagged = [
        cluster.cluster_keyslot(key)
        for key in ("user1000", "{user1000}.following", "a{user1000}b{c}")
    ]
    checks.equal("hash tags", len(set(tagged)), 1)


def many_keys(checks: Checks, cluster, keys):
    for key, value in keys.items():
        cluster.set(key, value)
    got = {key: cluster.get(key) for key in keys}
    checks.equal("1,000 keys are set and read", got, keys)
    sizes = cluster.dbsize(target_nodes=RedisCluster.PRIMARIES)
    held = list(sizes.values()) if isinstance(sizes, dict) else [sizes]
    checks.holds("no member is without keys", min(held) > 0, sizes)
    checks.equal("each key is on one member", sum(held), len(keys))
    checks.equal("SCAN of all members", sorted(cluster.scan_iter(count=100)), sorted(keys))
    pipeline = cluster.pipeline()
    for key in keys:
        pipeline.get(key)
    checks.equal("a pipeline over all members", pipeline.execute(), list(keys.values()))


def several_keys(checks: Checks, cluster, keys):
    names = list(keys)[:20]
    checks.equal("MGET by slots", cluster.mget_nonatomic(names), [keys[name] for name in names])
    message = "MGET - all keys must map to the same key slot"
    kind = redis.exceptions.RedisClusterException
    checks.refused("MGET of several slots", message, lambda: cluster.mget(names), kind)
    tagged = {f"{{user}}:{number}": str(number) for number in range(20)}
    checks.equal("MSET of one tag", cluster.mset(tagged), True)
    checks.equal("MGET of one tag", cluster.mget(list(tagged)), list(tagged.values()))
    with cluster.pipeline(transaction=True) as pipeline:
        pipeline.incr("{user}:1").incr("{user}:2")
        checks.equal("MULTI of one tag", pipeline.execute(), [2, 3])
    cluster.rpush("{user}:list", "a", "b")
    checks.equal(
        "LMOVE within one tag", cluster.lmove("{user}:list", "{user}:other", "LEFT", "RIGHT"), "a"
    )
    checks.equal("DEL by slots", cluster.delete(*tagged, "{user}:list", "{user}:other"), 22)
    checks.equal("EXISTS by slots", cluster.exists(*names), 20)


def one_member(checks: Checks, cluster, ports, keys):
    """The answers of a single member to a client that is not cluster-aware."""
    plain = redis.Redis(HOST, ports[0], decode_responses=True)
    here, elsewhere = None, None
    for key in keys:
        port = cluster.get_node_from_key(key).port
        if port == ports[0]:
            here = here or key
        else:
            elsewhere = elsewhere or (key, port)
    checks.equal("it answers for its own keys", plain.get(here), keys[here])
    key, port = elsewhere
    moved = f"{cluster.keyslot(key)} {HOST}:{port}"
    checks.refused(
        "it redirects to the owners of others", moved, lambda: plain.get(key), redis.exceptions.MovedError
    )
    checks.refused(
        "several slots are refused",
        CROSS_SLOT,
        lambda: plain.mget(here, key),
        redis.exceptions.ClusterCrossSlotError,
    )
    pipeline = plain.pipeline()
    pipeline.get(here).get(key)
    checks.refused(
        "in a transaction too",
        f"Command # 2 (GET {key}) of pipeline caused error: {moved}",
        pipeline.execute,
        redis.exceptions.MovedError,
    )
    checks.equal("INFO reports a cluster", plain.info("cluster")["cluster_enabled"], 1)
    checks.equal("READONLY", plain.readonly(), True)
    only_zero = "SELECT is not allowed in cluster mode"
    checks.refused(
        "SELECT of another database", only_zero, lambda: plain.execute_command("SELECT", 1)
    )


def read_all(cluster, keys):
    """Whether all keys can be read; failed requests are retried."""
    try:
        return all(cluster.get(key) == value for key, value in keys.items())
    except redis.RedisError:
        return False


def leaders_answer(cluster):
    try:
        return cluster.ping(target_nodes=RedisCluster.PRIMARIES)
    except redis.RedisError:
        return False


def loss(checks: Checks, cluster, keys):
    print("READY", flush=True)
    sys.stdin.readline()
    checks.eventually("all keys can be read again", lambda: read_all(cluster, keys), SURVIVED_MAX)
    changed = {key: f"{value}!" for key, value in keys.items()}
    for key, value in changed.items():
        cluster.set(key, value)
    checks.equal("all keys can be changed again", {key: cluster.get(key) for key in keys}, changed)
    checks.eventually("each known owner answers", lambda: leaders_answer(cluster))


def check(checks: Checks, ports):
    keys = {f"key:{number}": f"value {number}" for number in range(1_000)}
    for protocol in (2, 3):
        cluster = connect(ports, protocol)
        cluster.flushall(target_nodes=RedisCluster.PRIMARIES)
        for part, arguments in (
            (topology, [ports]),
            (many_keys, [keys]),
            (several_keys, [keys]),
            (one_member, [ports, keys]),
        ):
            checks.part = f"RESP{protocol}, {part.__name__}"
            part(checks, cluster, *arguments)
    checks.part = "loss"
    loss(checks, cluster, keys)
