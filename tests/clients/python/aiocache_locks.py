"""aiocache: values, many at once, and locks."""

from aiocache import RedisCache
from aiocache.lock import OptimisticLock, RedLock
from aiocache.serializers import JsonSerializer

import job


async def main():
    cache = RedisCache(endpoint=job.HOST, port=job.PORTS[0], serializer=JsonSerializer())
    acknowledged = {}

    async def step(n):
        await cache.set(f"key:{n}", {"n": n}, ttl=600)
        acknowledged[f"key:{n}"] = {"n": n}
        await cache.multi_set([[f"many:{n}:{i}", i] for i in range(4)])
        got = await cache.multi_get([f"many:{n}:{i}" for i in range(4)])
        job.check(got == [0, 1, 2, 3], f"multi_get returned {got}")
        async with RedLock(cache, f"lock:{n}", lease=5):
            await cache.increment("count")
        async with OptimisticLock(cache, f"key:{n}") as lock:
            await lock.cas({"n": n}, ttl=600)

    async def verify():
        for key, value in acknowledged.items():
            got = await cache.get(key)
            job.check(got == value, f"{key} is {got!r}")

    await job.steps(step, verify)


job.run_main(main)
