"""arq: jobs with results and a delay, by a worker in this process."""

import asyncio

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

import job


async def add(context, a, b):
    return a + b


async def main():
    settings = RedisSettings(host=job.HOST, port=job.PORTS[0], conn_retries=20)
    pool = await create_pool(settings)
    worker = Worker([add], redis_settings=settings, handle_signals=False, poll_delay=0.05)
    ended = asyncio.create_task(worker.async_run())

    async def step(n):
        job.check(not ended.done(), f"the worker ended: {ended}")
        queued = await pool.enqueue_job("add", n, 1)
        job.check(await queued.result(timeout=20, poll_delay=0.02) == n + 1, "the result of a job")
        if n % 5 == 0:
            queued = await pool.enqueue_job("add", n, 2, _defer_by=0.1)
            job.check(await queued.result(timeout=20, poll_delay=0.02) == n + 2, "a later job")

    await job.steps(step)


job.run_main(main)
