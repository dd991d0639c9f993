"""valkey-py: commands, pipelines, transactions, a script and a lock."""

import valkey
from valkey.backoff import ExponentialBackoff
from valkey.retry import Retry

import job

retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), 20)
errors = [valkey.ConnectionError, valkey.TimeoutError]
if job.MODE == "cluster":
    nodes = [valkey.cluster.ClusterNode(job.HOST, port) for port in job.PORTS]
    client = valkey.ValkeyCluster(startup_nodes=nodes, retry=retry, decode_responses=True)
else:
    client = valkey.Valkey(
        port=job.PORTS[0], retry=retry, retry_on_error=errors, decode_responses=True
    )
add = client.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
acknowledged = {}


def step(n):
    client.set(f"key:{n}", n, ex=600)
    acknowledged[f"key:{n}"] = str(n)
    job.check(client.get(f"key:{n}") == str(n), "GET returns what was set")
    with client.pipeline(transaction=job.MODE != "cluster") as pipe:
        replies = pipe.zadd(f"{{{n}}}set", {"m": n}).zscore(f"{{{n}}}set", "m").execute()
    job.check(replies[1] == n, f"a pipeline returned {replies}")
    add(keys=[f"{{{n}}}sum"], args=[n])
    with client.lock(f"lock:{n % 7}", timeout=20, blocking_timeout=10):
        client.rpush("log", n)


def verify():
    for key, value in acknowledged.items():
        got = client.get(key)
        job.check(got == value, f"{key} is {got!r}, not {value!r}")


job.run(step, verify)
