"""valkey-glide: commands, a batch and a script."""

from glide import (
    Batch, ClusterBatch, GlideClient, GlideClientConfiguration, GlideClusterClient,
    GlideClusterClientConfiguration, NodeAddress, Script,
)

import job

addresses = [NodeAddress(job.HOST, port) for port in job.PORTS]
add = Script("return redis.call('incrby', KEYS[1], ARGV[1])")
acknowledged = {}


async def main():
    if job.MODE == "cluster":
        configuration = GlideClusterClientConfiguration(addresses, request_timeout=2000)
        client = await GlideClusterClient.create(configuration)
    else:
        configuration = GlideClientConfiguration(addresses, request_timeout=2000)
        client = await GlideClient.create(configuration)

    async def step(n):
        await client.set(f"key:{n}", str(n))
        acknowledged[f"key:{n}"] = str(n).encode()
        job.check(await client.get(f"key:{n}") == str(n).encode(), "GET returns what was set")
        batch = ClusterBatch(True) if job.MODE == "cluster" else Batch(True)
        batch.hset(f"{{{n}}}hash", {"n": str(n)})
        batch.hget(f"{{{n}}}hash", "n")
        replies = await client.exec(batch, raise_on_error=True)
        job.check(replies[1] == str(n).encode(), f"a batch returned {replies}")
        await client.invoke_script(add, keys=[f"{{{n}}}sum"], args=[str(n)])

    async def verify():
        for key, value in acknowledged.items():
            got = await client.get(key)
            job.check(got == value, f"{key} is {got!r}, not {value!r}")

    await job.steps(step, verify)


job.run_main(main)
