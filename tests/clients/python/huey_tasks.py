"""Huey: tasks with results, delays and priorities, by a consumer in this process."""

from huey import PriorityRedisHuey, RedisHuey

import job

huey = RedisHuey("plain", url=job.URL)
urgent = PriorityRedisHuey("urgent", url=job.URL)


@huey.task(retries=2)
def add(a, b):
    return a + b


@urgent.task(priority=5)
def multiply(a, b):
    return a * b


for instance in (huey, urgent):
    consumer = instance.create_consumer(workers=2, initial_delay=0.05, scheduler_interval=1)
    consumer.start()


def step(n):
    job.check(add(n, 1)(blocking=True, timeout=20) == n + 1, "the result of a task")
    job.check(multiply(n, 2)(blocking=True, timeout=20) == n * 2, "the result of another task")
    if n % 20 == 0:
        later = add.schedule((n, 2), delay=1)
        job.check(later(blocking=True, timeout=20) == n + 2, "the result of a later task")


job.run(step)
