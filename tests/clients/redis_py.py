"""redis-py against a cluster: `redis_py.py PORT...`, the RESP ports of its members,
or `redis_py.py --cluster PORT...` if they speak as nodes of a Redis Cluster. All
keys of the cluster are removed."""

import sys
import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import redis_py_cluster
from checks import Checks, run

HOST = "127.0.0.1"
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"

# Time without a message after which none is expected.
SILENCE = 0.3


def connect(port, protocol, **options):
    """A client without retries."""
    options.setdefault("decode_responses", True)
    retry = Retry(NoBackoff(), 0)
    return redis.Redis(HOST, port, protocol=protocol, retry=retry, **options)


def protocol_of(client):
    return client.connection_pool.connection_kwargs["protocol"]


def in_thread(request):
    """Calls `request` in a thread; returns a function that waits for its result."""
    result = []
    thread = threading.Thread(target=lambda: result.append(request()), daemon=True)
    thread.start()

    def wait():
        thread.join(10)
        return result[0] if result else "nothing within 10 s"

    return wait


def blocked(client):
    return client.info("clients")["blocked_clients"]


def server(checks: Checks, a, b, c):
    for client in (a, b, c):
        checks.equal("PING", client.ping(), True)
        checks.equal("ECHO", client.echo("so"), "so")
    hello = a.execute_command("HELLO")
    if isinstance(hello, list):
        hello = dict(zip(hello[::2], hello[1::2]))
    shown = {name: hello[name] for name in ("server", "proto", "role", "mode")}
    expected = {"server": "redis", "proto": protocol_of(a), "role": "master", "mode": "standalone"}
    checks.equal("HELLO", shown, expected)
    seconds, microseconds = a.time()
    checks.holds("TIME", abs(seconds - time.time()) < 5 and 0 <= microseconds < 1_000_000, seconds)
    a.client_setname("till-1")
    checks.equal("CLIENT GETNAME", a.client_getname(), "till-1")
    names = [client["name"] for client in a.client_list()]
    checks.holds("CLIENT LIST has the name", "till-1" in names, names)
    info = a.info()
    checks.holds(
        "INFO has a version", info["redis_version"].startswith("7."), info["redis_version"]
    )
    checks.equal("INFO reports that it is ready", info["loading"], 0)
    checks.equal("INFO reports no cluster", info["cluster_enabled"], 0)
    checks.equal("CONFIG GET", a.config_get("databases"), {"databases": "16"})
    checks.holds("COMMAND COUNT", a.command_count() > 150, a.command_count())
    checks.equal("COMMAND", a.command()["get"]["arity"], 2)
    checks.refused(
        "a command that is none",
        "unknown command 'NONSENSE', with args beginning with: 'a' 'b' ",
        lambda: a.execute_command("NONSENSE", "a", "b"),
    )
    checks.refused(
        "too few arguments",
        "wrong number of arguments for 'get' command",
        lambda: a.execute_command("GET"),
    )
    checks.refused(
        "a part that is none",
        "unknown subcommand 'nonsense'. Try CLIENT HELP.",
        lambda: a.execute_command("CLIENT", "nonsense"),
    )


def strings(checks: Checks, a, b, c):
    checks.equal("SET", a.set("word", "first"), True)
    for client in (a, b, c):
        checks.equal("GET through each member", client.get("word"), "first")
    checks.equal("GET of a missing key", b.get("nothing"), None)
    checks.equal("SET NX of what is there", b.set("word", "second", nx=True), None)
    checks.equal("SET XX of what is not", b.set("nothing", "x", xx=True), None)
    checks.equal("SET GET", c.set("word", "third", get=True), "first")
    checks.equal("GETSET", a.getset("word", "fourth"), "third")
    checks.equal("GETDEL", b.getdel("word"), "fourth")
    checks.equal("EXISTS", c.exists("word"), 0)
    checks.equal("SETNX", a.setnx("word", "x"), True)
    checks.equal("SETNX again", b.setnx("word", "y"), False)
    checks.equal("APPEND", a.append("word", "yz"), 3)
    checks.equal("STRLEN", b.strlen("word"), 3)
    checks.equal("GETRANGE", c.getrange("word", 1, -1), "yz")
    checks.equal("SETRANGE", a.setrange("word", 4, "!"), 5)
    checks.equal("SETRANGE fills up", b.get("word"), "xyz\0!")

    counts = [client.incr("count") for client in (a, b, c)]
    checks.equal("INCR through each member", counts, [1, 2, 3])
    checks.equal("DECRBY", a.decrby("count", 10), -7)
    checks.equal("INCRBYFLOAT", b.incrbyfloat("count", 0.25), -6.75)
    not_integer = "value is not an integer or out of range"
    checks.refused("INCR of a value that is not an integer", not_integer, lambda: c.incr("count"))
    a.set("count", str(2**63 - 1))
    overflow = "increment or decrement would overflow"
    checks.refused("INCR beyond 64 bits", overflow, lambda: a.incr("count"))

    many = {f"many:{number}": str(number) for number in range(100)}
    checks.equal("MSET", a.mset(many), True)
    checks.equal("MGET", b.mget([*many, "nothing"]), [*many.values(), None])
    checks.equal("EXISTS of several", c.exists(*many, "nothing"), 100)
    checks.equal("TOUCH", c.touch(*many, "nothing"), 100)
    checks.equal("UNLINK of several", a.unlink(*list(many)[:50]), 50)
    checks.equal("DEL of several", b.delete(*many), 50)
    checks.equal("MSETNX in one slot", a.msetnx({"{m}a": "1", "{m}b": "2"}), True)
    checks.equal("MSETNX where one is there", b.msetnx({"{m}b": "3", "{m}c": "4"}), False)
    checks.equal("… puts none", c.exists("{m}c"), 0)

    checks.equal("TYPE", a.type("word"), "string")
    checks.equal("TYPE of a missing key", b.type("nothing"), "none")
    checks.equal("RENAME in one slot", a.rename("{m}a", "{m}z"), True)
    checks.equal("… is elsewhere now", b.mget("{m}a", "{m}z"), [None, "1"])
    checks.refused("RENAME of a missing key", "no such key", lambda: c.rename("{m}a", "{m}b"))
    checks.equal("COPY", c.copy("{m}z", "{m}y"), True)
    checks.refused("a list's command", WRONG_TYPE, lambda: a.lpush("word", "x"))
    syntax = "syntax error"
    checks.refused("SET with nonsense", syntax, lambda: a.execute_command("SET", "k", "v", "QX"))


def bytes_as_they_are(checks: Checks, ports, protocol):
    a, b = (connect(port, protocol, decode_responses=False) for port in ports[:2])
    every = bytes(range(256)) + b"\r\n$5\r\n"
    a.set(every, every)
    checks.equal("all bytes, in key and value", b.get(every), every)
    large = every * 8_192
    a.set("large", large)
    checks.equal("two megabytes", b.get("large"), large)
    checks.equal("nothing at all", (a.set("empty", b""), b.get("empty")), (True, b""))


def expiry(checks: Checks, a, b, c):
    a.set("brief", "x", ex=100)
    for client in (a, b, c):
        checks.holds(
            "TTL through each member", client.ttl("brief") in (99, 100), client.ttl("brief")
        )
    checks.holds("PTTL", 98_000 < b.pttl("brief") <= 100_000, b.pttl("brief"))
    at = int(time.time()) + 100
    checks.holds("EXPIRETIME", abs(c.expiretime("brief") - at) <= 2, c.expiretime("brief"))
    checks.equal("PERSIST", b.persist("brief"), True)
    checks.equal("TTL without one", c.ttl("brief"), -1)
    checks.equal("TTL of a missing key", a.ttl("nothing"), -2)
    checks.equal("EXPIRE of a missing key", a.expire("nothing", 10), False)
    checks.equal("EXPIRE GT of a key without a TTL", a.expire("brief", 10, gt=True), False)
    checks.equal("EXPIRE NX", b.expire("brief", 10, nx=True), True)
    checks.equal("EXPIRE NX again", c.expire("brief", 20, nx=True), False)
    checks.equal("EXPIRE LT", a.expire("brief", 5, lt=True), True)
    checks.equal("EXPIREAT", b.expireat("brief", at), True)
    checks.equal("SET forgets it", (a.set("brief", "y"), b.ttl("brief")), (True, -1))
    a.set("brief", "y", ex=100)
    a.set("brief", "z", keepttl=True)
    checks.holds("SET KEEPTTL keeps it", b.ttl("brief") > 90, b.ttl("brief"))
    checks.equal("GETEX PERSIST", (c.getex("brief", persist=True), a.ttl("brief")), ("z", -1))
    checks.equal(
        "EXPIRE in the past removes", (a.expire("brief", -1), b.exists("brief")), (True, 0)
    )
    for client in (a, b, c):
        client.set("blink", "x", px=300)
        checks.equal("the key exists", b.get("blink"), "x")
        checks.eventually("the key is gone", lambda client=client: client.get("blink") is None)
        checks.equal("… for all", [other.exists("blink") for other in (a, b, c)], [0, 0, 0])
    invalid = "invalid expire time in 'set' command"
    checks.refused("SET that lives no time", invalid, lambda: a.set("brief", "x", ex=0))


def pipelines(checks: Checks, a, b, c):
    pipeline = a.pipeline(transaction=False)
    for number in range(500):
        pipeline.set(f"pipe:{number}", number)
    checks.equal("500 SETs at once", pipeline.execute(), [True] * 500)
    pipeline = b.pipeline(transaction=False)
    for number in range(500):
        pipeline.get(f"pipe:{number}")
    expected = [str(number) for number in range(500)]
    checks.equal("500 GETs at once, in order", pipeline.execute(), expected)
    pipeline = c.pipeline(transaction=False)
    pipeline.get("pipe:1").lpush("pipe:1", "x").get("pipe:2")
    first, failed, last = pipeline.execute(raise_on_error=False)
    checks.equal("what follows a failure is done", (first, last), ("1", "2"))
    checks.holds("the failure is returned in its place", WRONG_TYPE in str(failed), failed)
    pipeline = a.pipeline(transaction=False)
    pipeline.set("order", "1").append("order", "2").append("order", "3").get("order")
    checks.equal("one connection's commands are in order", pipeline.execute(), [True, 2, 3, "123"])


def transactions(checks: Checks, a, b, c):
    pipeline = a.pipeline()
    pipeline.set("{t}a", "1").incr("{t}a").rpush("{t}l", "x", "y").lrange("{t}l", 0, -1)
    checks.equal("MULTI of one slot", pipeline.execute(), [True, 2, 2, ["x", "y"]])
    pipeline = b.pipeline()
    for name in "abcdef":
        pipeline.set(f"spread:{name}", name).get(f"spread:{name}")
    checks.equal(
        "MULTI of several slots",
        pipeline.execute(),
        [True, "a", True, "b", True, "c", True, "d", True, "e", True, "f"],
    )
    pipeline = c.pipeline()
    pipeline.incr("{t}a").lpush("{t}a", "x").incr("{t}a")
    third, failed, fourth = pipeline.execute(raise_on_error=False)
    checks.equal("a failure in EXEC undoes nothing", (third, fourth), (3, 4))
    checks.holds("it is returned in its place", WRONG_TYPE in str(failed), failed)
    pipeline = a.pipeline()
    pipeline.set("{t}a", "no").execute_command("GET")
    checks.refused(
        "a command that cannot be queued",
        "Command # 2 (GET) of pipeline caused error: wrong number of arguments for 'get' command",
        pipeline.execute,
    )
    checks.equal("… lets none of them be done", b.get("{t}a"), "4")

    with a.pipeline() as pipeline:
        pipeline.watch("{t}w")
        b.set("{t}w", "changed")
        pipeline.multi()
        pipeline.set("{t}w", "mine")
        checks.refused(
            "WATCH sees a change through another member",
            "Watched variable changed.",
            pipeline.execute,
            redis.WatchError,
        )
    checks.equal("… and EXEC did nothing", c.get("{t}w"), "changed")
    with a.pipeline() as pipeline:
        pipeline.watch("{t}w", "{t}a")
        before = pipeline.get("{t}w")
        pipeline.multi()
        pipeline.set("{t}w", before + "!")
        checks.equal("WATCH without a change", pipeline.execute(), [True])
    with b.pipeline() as pipeline:
        pipeline.watch("{t}w")
        pipeline.unwatch()
        a.set("{t}w", "again")
        pipeline.multi()
        pipeline.set("{t}w", "mine")
        checks.equal("UNWATCH forgets", pipeline.execute(), [True])
    with c.pipeline() as pipeline:
        a.set("{t}x", "x", px=300)
        pipeline.watch("{t}x")
        checks.eventually("the watched key is gone", lambda: b.exists("{t}x") == 0)
        pipeline.multi()
        pipeline.set("{t}x", "mine")
        checks.refused(
            "WATCH sees an expiry", "Watched variable changed.", pipeline.execute, redis.WatchError
        )


def counting(checks: Checks, ports, protocol):
    """Threads that count by WATCH through several members lose nothing."""
    clients = [connect(port, protocol) for port in ports]
    clients[0].set("{t}n", 0)

    def count(client):
        def one_more(pipeline):
            number = int(pipeline.get("{t}n"))
            pipeline.multi()
            pipeline.set("{t}n", number + 1)

        for _ in range(20):
            client.transaction(one_more, "{t}n")
        return "done"

    waits = [in_thread(lambda client=client: count(client)) for client in clients]
    checks.equal("all threads came to an end", [wait() for wait in waits], ["done"] * len(clients))
    checks.equal("none of their steps is lost", clients[0].get("{t}n"), str(20 * len(clients)))


def hashes(checks: Checks, a, b, c):
    checks.equal("HSET", a.hset("hash", mapping={"one": "1", "two": "2"}), 2)
    for client in (a, b, c):
        checks.equal("HGETALL", client.hgetall("hash"), {"one": "1", "two": "2"})
    checks.equal("HGETALL of a missing key", a.hgetall("nothing"), {})
    checks.equal("HSET of one that is there", b.hset("hash", "one", "10"), 0)
    checks.equal("HGET", c.hget("hash", "one"), "10")
    checks.equal("HMGET", a.hmget("hash", "one", "none"), ["10", None])
    checks.equal("HINCRBY", b.hincrby("hash", "one", 5), 15)
    checks.equal("HINCRBYFLOAT", c.hincrbyfloat("hash", "two", 0.5), 2.5)
    checks.equal("HSETNX", a.hsetnx("hash", "one", "x"), 0)
    checks.equal("HEXISTS", b.hexists("hash", "one"), True)
    checks.equal("HKEYS", sorted(c.hkeys("hash")), ["one", "two"])
    checks.equal("HVALS", sorted(a.hvals("hash")), ["15", "2.5"])
    checks.equal("HLEN", b.hlen("hash"), 2)
    checks.equal("HSTRLEN", c.hstrlen("hash", "two"), 3)
    checks.equal("HDEL", a.hdel("hash", "one", "none"), 1)
    checks.equal("HRANDFIELD", b.hrandfield("hash"), "two")
    large = {f"field-{number}": str(number) for number in range(1_000)}
    a.hset("large-hash", mapping=large)
    checks.equal("HSCAN finds all", dict(b.hscan_iter("large-hash", count=50)), large)
    not_integer = "hash value is not an integer"
    checks.refused("HINCRBY of what is none", not_integer, lambda: c.hincrby("hash", "two", 1))
    checks.equal(
        "the last field takes the hash along", (a.hdel("hash", "two"), b.exists("hash")), (1, 0)
    )


def lists(checks: Checks, a, b, c):
    checks.equal("RPUSH", a.rpush("{l}one", "a", "b", "c", "d"), 4)
    for client in (a, b, c):
        checks.equal("LRANGE", client.lrange("{l}one", 0, -1), ["a", "b", "c", "d"])
    checks.equal("LPUSH", b.lpush("{l}one", "z"), 5)
    checks.equal("LLEN", c.llen("{l}one"), 5)
    checks.equal("LINDEX", a.lindex("{l}one", -1), "d")
    checks.equal("LINSERT", b.linsert("{l}one", "BEFORE", "b", "ab"), 6)
    checks.equal("LPOS", c.lpos("{l}one", "b"), 3)
    checks.equal("LSET", a.lset("{l}one", 0, "y"), True)
    checks.equal("LREM", b.lrem("{l}one", 0, "ab"), 1)
    checks.equal("LTRIM", c.ltrim("{l}one", 1, -1), True)
    checks.equal("LPOP of several", a.lpop("{l}one", 2), ["a", "b"])
    checks.equal("RPOP", b.rpop("{l}one"), "d")
    checks.equal("LMOVE", c.lmove("{l}one", "{l}two", "LEFT", "RIGHT"), "c")
    checks.equal("LPOP of a missing key", a.lpop("{l}one"), None)
    checks.equal("RPUSHX of a missing key", b.rpushx("{l}one", "x"), 0)
    checks.refused("LSET beyond the end", "index out of range", lambda: a.lset("{l}two", 9, "x"))

    checks.equal(
        "BLPOP of what is there", a.blpop(["{l}one", "{l}two"], 1), answer(a, "{l}two", "c")
    )
    began = time.monotonic()
    checks.equal("BLPOP of a missing key times out", b.blpop("{l}one", 0.2), None)
    checks.holds("… after its time", 0.2 <= time.monotonic() - began < 3, time.monotonic() - began)
    for waiting, pushing in ((a, b), (b, c), (c, a)):
        wait = in_thread(lambda waiting=waiting: waiting.blpop("{l}one", 4))
        checks.eventually(
            "a client that waits is counted", lambda waiting=waiting: blocked(waiting) == 1
        )
        pushing.rpush("{l}one", "for you")
        checks.equal(
            "BLPOP is woken through another member", wait(), answer(a, "{l}one", "for you")
        )
        checks.equal("… and has taken it", a.exists("{l}one"), 0)
    waits = [in_thread(lambda client=client: client.brpop("{l}one", 4)) for client in (b, c)]
    checks.eventually("both wait", lambda: blocked(b) + blocked(c) >= 2)
    a.rpush("{l}one", "1", "2")
    taken = sorted(list(wait()) for wait in waits)
    checks.equal("each of two waits takes one", taken, [["{l}one", "1"], ["{l}one", "2"]])
    wait = in_thread(lambda: b.blmove("{l}one", "{l}two", 4, "LEFT", "LEFT"))
    checks.eventually("BLMOVE waits", lambda: blocked(b) == 1)
    c.rpush("{l}one", "moved")
    checks.equal("BLMOVE", (wait(), a.lrange("{l}two", 0, -1)), ("moved", ["moved"]))


def answer(client, key, element):
    """As redis-py gives what BLPOP took, by protocol."""
    return [key, element] if protocol_of(client) == 3 else (key, element)


def sets(checks: Checks, a, b, c):
    checks.equal("SADD", a.sadd("set:1", "a", "b", "c"), 3)
    checks.equal("SADD of one that is there", b.sadd("set:1", "c", "d"), 1)
    for client in (a, b, c):
        checks.equal("SMEMBERS", client.smembers("set:1"), {"a", "b", "c", "d"})
    b.sadd("set:2", "c", "d", "e")
    checks.equal("SINTER of two slots", c.sinter("set:1", "set:2"), {"c", "d"})
    checks.equal("SUNION of two slots", a.sunion("set:1", "set:2"), {"a", "b", "c", "d", "e"})
    checks.equal("SDIFF of two slots", b.sdiff("set:1", "set:2"), {"a", "b"})
    checks.equal("SCARD", c.scard("set:1"), 4)
    checks.holds("SISMEMBER", a.sismember("set:1", "a") == 1)
    checks.equal("SMISMEMBER", b.smismember("set:1", ["a", "z"]), [1, 0])
    checks.equal("SREM", c.srem("set:1", "a", "z"), 1)
    popped = {a.spop("set:1") for _ in range(3)}
    checks.equal("SPOP takes each once", popped, {"b", "c", "d"})
    checks.equal("… until nothing is left", b.exists("set:1"), 0)
    many = {str(number) for number in range(1_000)}
    a.sadd("set:many", *many)
    checks.equal("SSCAN finds all", set(c.sscan_iter("set:many", count=50)), many)


def sorted_sets(checks: Checks, a, b, c):
    checks.equal("ZADD", a.zadd("{z}one", {"a": 1, "b": 2.5, "c": 3}), 3)
    pairs = [("a", 1.0), ("b", 2.5), ("c", 3.0)]
    for client in (a, b, c):
        got = client.zrange("{z}one", 0, -1, withscores=True)
        checks.equal("ZRANGE with scores", [tuple(pair) for pair in got], pairs)
    checks.equal("ZSCORE", b.zscore("{z}one", "b"), 2.5)
    checks.equal("ZMSCORE", c.zmscore("{z}one", ["a", "none"]), [1.0, None])
    checks.equal("ZINCRBY", a.zincrby("{z}one", 4, "a"), 5.0)
    checks.equal("ZRANK", b.zrank("{z}one", "a"), 2)
    checks.equal("ZREVRANK", c.zrevrank("{z}one", "a"), 0)
    checks.equal("ZRANK of nothing", a.zrank("{z}one", "none"), None)
    checks.equal("ZCARD", b.zcard("{z}one"), 3)
    checks.equal("ZCOUNT", c.zcount("{z}one", "(2.5", "+inf"), 2)
    checks.equal("ZRANGEBYSCORE", a.zrangebyscore("{z}one", 2, 3), ["b", "c"])
    checks.equal("ZREVRANGE", b.zrevrange("{z}one", 0, 1), ["a", "c"])
    checks.equal(
        "ZRANGE BYSCORE REV LIMIT",
        c.zrange("{z}one", "+inf", "-inf", byscore=True, desc=True, offset=1, num=1),
        ["c"],
    )
    checks.equal("ZADD GT that is less", a.zadd("{z}one", {"a": 4}, gt=True, ch=True), 0)
    checks.equal("ZADD XX of one that is not there", b.zadd("{z}one", {"d": 4}, xx=True), 0)
    checks.equal("ZADD NX", c.zadd("{z}one", {"a": 9, "d": float("inf")}, nx=True), 1)
    checks.equal("infinity", a.zscore("{z}one", "d"), float("inf"))
    checks.equal("ZREMRANGEBYSCORE", b.zremrangebyscore("{z}one", "(5", "inf"), 1)
    a.zadd("{z}two", {"b": 10, "x": 1})
    union = [tuple(pair) for pair in b.zunion(["{z}one", "{z}two"], withscores=True)]
    checks.equal("ZUNION", union, [("x", 1.0), ("c", 3.0), ("a", 5.0), ("b", 12.5)])
    checks.equal("ZINTERSTORE", c.zinterstore("{z}both", ["{z}one", "{z}two"]), 1)
    a.zadd("{z}names", dict.fromkeys("dbca", 0))
    checks.equal("ZRANGEBYLEX", b.zrangebylex("{z}names", "[b", "(d"), ["b", "c"])
    checks.equal(
        "ZPOPMIN", [tuple(pair) for pair in c.zpopmin("{z}two", 2)], [("x", 1.0), ("b", 10.0)]
    )
    wait = in_thread(lambda: a.bzpopmin("{z}two", 4))
    checks.eventually("BZPOPMIN waits", lambda: blocked(a) == 1)
    b.zadd("{z}two", {"late": 7})
    checks.equal("BZPOPMIN is woken through another member", list(wait()), ["{z}two", "late", 7.0])
    many = {f"member-{number}": float(number) for number in range(1_000)}
    a.zadd("{z}many", many)
    checks.equal("ZSCAN finds all", dict(c.zscan_iter("{z}many", count=50)), many)


def scans(checks: Checks, a, b, c):
    a.flushdb()
    checks.equal("FLUSHDB leaves nothing", [client.dbsize() for client in (a, b, c)], [0, 0, 0])
    keys = {f"scan:{number}" for number in range(2_000)}
    pipeline = a.pipeline(transaction=False)
    for key in keys:
        pipeline.set(key, "x")
    pipeline.execute()
    a.rpush("a-list", "x")
    for client in (a, b, c):
        checks.equal("SCAN finds all", set(client.scan_iter(match="scan:*", count=100)), keys)
        checks.equal("DBSIZE", client.dbsize(), 2_001)
    found = list(b.scan_iter(count=1_000))
    checks.equal("SCAN of unchanged keys returns each once", len(found), len(set(found)))
    checks.equal("SCAN of a type", list(c.scan_iter(_type="list")), ["a-list"])
    expected = {
        f"scan:{number}" for number in range(2_000) if number % 10 == 7 and 10 <= number < 100
    }
    checks.equal("SCAN of a pattern", set(a.scan_iter(match="scan:?7")), expected)
    checks.equal("KEYS", set(b.keys("scan:199[0-4]")), {f"scan:199{digit}" for digit in range(5)})
    checks.holds("RANDOMKEY", c.randomkey() in keys | {"a-list"})
    gone = {f"scan:{number}" for number in range(1_000)}
    seen = set()
    for key in b.scan_iter(match="scan:*", count=50):
        if not seen:
            a.delete(*gone)
        seen.add(key)
    checks.holds("SCAN returns all keys that are not deleted meanwhile", keys - gone <= seen, len(seen))


def databases(checks: Checks, ports, protocol):
    zero, zero_too = (connect(port, protocol) for port in ports[:2])
    nine = connect(ports[1], protocol, db=9)
    zero.set("where", "0")
    nine.set("where", "9")
    checks.equal(
        "each database has its own", (zero_too.get("where"), nine.get("where")), ("0", "9")
    )
    checks.equal("INFO counts both", sorted(zero.info("keyspace")), ["db0", "db9"])
    nine.flushdb()
    checks.equal("FLUSHDB empties one", (zero.get("where"), nine.get("where")), ("0", None))
    out_of_range = "DB index is out of range"
    checks.refused(
        "SELECT of one too many", out_of_range, lambda: zero.execute_command("SELECT", 16)
    )


def messages(subscription, count):
    """The next `count` messages, or fewer if they do not arrive in time."""
    found = []
    deadline = time.monotonic() + 10
    while len(found) < count and time.monotonic() < deadline:
        message = subscription.get_message(ignore_subscribe_messages=True, timeout=0.1)
        if message:
            found.append((message["type"], message["pattern"], message["channel"], message["data"]))
    return found


def silent(checks: Checks, what, subscription):
    message = subscription.get_message(ignore_subscribe_messages=True, timeout=SILENCE)
    checks.equal(what, message, None)


def subscribed(checks: Checks, subscription, count):
    confirmations = [subscription.get_message(timeout=10) for _ in range(count)]
    checks.holds("the subscription is confirmed", all(confirmations), confirmations)


def pubsub(checks: Checks, a, b, c):
    exact, pattern = b.pubsub(), c.pubsub()
    exact.subscribe("news.sport", "other")
    pattern.psubscribe("news.*", "news.s?ort")
    subscribed(checks, exact, 2)
    subscribed(checks, pattern, 2)
    checks.equal("PUBLISH counts receivers on all members", a.publish("news.sport", "goal"), 3)
    checks.equal("PUBLISH without subscribers", b.publish("nothing", "x"), 0)
    checks.equal("a message", messages(exact, 1), [("message", None, "news.sport", "goal")])
    both = [("pmessage", glob, "news.sport", "goal") for glob in ("news.*", "news.s?ort")]
    checks.equal("a message by patterns", sorted(messages(pattern, 2)), both)
    for number in range(200):
        a.publish("other", str(number))
    expected = [("message", None, "other", str(number)) for number in range(200)]
    checks.equal("messages of one sender are in order", messages(exact, 200), expected)
    for sender in (a, b, c):
        sender.publish("news.weather", "rain")
        expected = [("pmessage", "news.*", "news.weather", "rain")]
        checks.equal("a message through each member", messages(pattern, 1), expected)
    checks.equal("PUBSUB CHANNELS", sorted(b.pubsub_channels("[no]*")), ["news.sport", "other"])
    checks.equal(
        "PUBSUB NUMSUB", [tuple(pair) for pair in b.pubsub_numsub("other")], [("other", 1)]
    )
    checks.equal("PUBSUB NUMPAT", c.pubsub_numpat(), 2)
    exact.unsubscribe("other")
    subscribed(checks, exact, 1)
    a.publish("other", "late")
    silent(checks, "nothing comes after UNSUBSCRIBE", exact)
    silent(checks, "nothing comes twice", pattern)
    exact.close()
    pattern.close()


def notifications(checks: Checks, a, b, c):
    checks.equal("CONFIG SET", a.config_set("notify-keyspace-events", "Exg"), True)
    for client in (a, b, c):
        name = "notify-keyspace-events"
        checks.eventually(
            "all members have the setting",
            lambda client=client: set(client.config_get(name)[name]) == set("Exg"),
        )
    subscriptions = [client.pubsub() for client in (a, b, c)]
    for subscription in subscriptions:
        subscription.psubscribe("__keyevent@0__:expired")
        subscribed(checks, subscription, 1)
    for number, client in enumerate((a, b, c)):
        client.set(f"brief:{number}", "x", px=50)
    topic = "__keyevent@0__:expired"
    expected = [("pmessage", topic, topic, f"brief:{number}") for number in range(3)]
    for subscription in subscriptions:
        checks.equal(
            "each expiry is published through each member", sorted(messages(subscription, 3)), expected
        )
    for subscription in subscriptions:
        silent(checks, "… and once", subscription)
        subscription.close()
    deleted = c.pubsub()
    deleted.subscribe("__keyevent@0__:del")
    subscribed(checks, deleted, 1)
    a.set("gone", "x")
    b.delete("gone", "never there")
    expected = [("message", None, "__keyevent@0__:del", "gone")]
    checks.equal("a deletion is published", messages(deleted, 1), expected)
    silent(checks, "… and that of nothing is not", deleted)
    deleted.close()
    a.config_set("notify-keyspace-events", "")


def locks(checks: Checks, a, b):
    """Locks are released and extended by scripts."""
    lock, other = a.lock("a-lock", timeout=10), b.lock("a-lock", timeout=10)
    checks.equal("a lock is taken", lock.acquire(blocking=False), True)
    checks.equal("… by one", other.acquire(blocking=False), False)
    checks.equal("… and extended", lock.extend(5), True)
    lock.release()
    checks.equal("… and released", b.exists("a-lock"), 0)
    checks.equal("… so that another one takes it", other.acquire(blocking=False), True)
    other.release()
    script = a.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
    checks.equal("a registered script", script(keys=["counted"], args=[5]), 5)
    checks.equal("… through another member", script(keys=["counted"], args=[2], client=b), 7)


def check(checks: Checks, ports):
    for protocol in (2, 3):
        a, b, c = clients = [connect(port, protocol) for port in ports]
        a.flushall()
        for part in (
            server,
            strings,
            expiry,
            pipelines,
            transactions,
            hashes,
            lists,
            sets,
            sorted_sets,
            scans,
            pubsub,
            notifications,
        ):
            checks.part = f"RESP{protocol}, {part.__name__}"
            part(checks, *clients)
        for part in (bytes_as_they_are, counting, databases):
            checks.part = f"RESP{protocol}, {part.__name__}"
            part(checks, ports, protocol)
        checks.part = f"RESP{protocol}, locks"
        locks(checks, a, b)
        a.flushall()


if __name__ == "__main__":
    ports = [int(port) for port in sys.argv[1:] if port != "--cluster"]
    if len(ports) != 3:
        sys.exit("expected the RESP ports of three members")
    if "--cluster" in sys.argv:
        run(
            f"redis-py {redis.__version__} --cluster",
            lambda checks: redis_py_cluster.check(checks, ports),
        )
    else:
        run(f"redis-py {redis.__version__}", lambda checks: check(checks, ports))
