"""Dramatiq: messages with results, by workers in this process."""

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

import job

broker = RedisBroker(url=job.URL)
broker.add_middleware(Results(backend=RedisBackend(url=job.URL)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def add(a, b):
    return a + b


worker = dramatiq.Worker(broker, worker_threads=2)
worker.start()


def step(n):
    message = add.send(n, 1)
    job.check(message.get_result(block=True, timeout=20_000) == n + 1, "the result of a message")
    if n % 5 == 0:
        delayed = add.send_with_options(args=(n, 2), delay=50)
        got = delayed.get_result(block=True, timeout=20_000)
        job.check(got == n + 2, "the result of a delayed message")


job.run(step)
