"""Celery: tasks with results, a group and a chord, by a worker process."""

import sys

import job

from celery import Celery, chord, group

# That are waiting at a time.
TASKS = 10

# Of several brokers, Celery uses the next one when one is lost; of several backends it has one.
urls = [f"redis://{job.HOST}:{port}/0" for port in job.PORTS]
app = Celery("celery_tasks", broker=";".join(urls), backend=urls[-1])
app.conf.broker_connection_retry_on_startup = True
app.conf.task_acks_late = True


@app.task
def add(a, b):
    return a + b


@app.task
def total(numbers):
    return sum(numbers)


def step(n):
    results = [add.delay(n, i) for i in range(TASKS)]
    for i, result in enumerate(results):
        job.check(result.get(timeout=20) == n + i, "the result of a task")
    if n % 5 == 0:
        got = group(add.s(n, i) for i in range(4)).apply_async().get(timeout=20)
        job.check(got == [n, n + 1, n + 2, n + 3], f"a group returned {got}")
        got = chord([add.s(n, i) for i in range(3)])(total.s()).get(timeout=20)
        job.check(got == 3 * n + 3, f"a chord returned {got}")


if __name__ == "__main__":
    arguments = ["-A", "celery_tasks", "worker", "--pool", "threads", "-c", "4", "-l", "warning"]
    job.supervise([sys.executable, "-m", "celery", *arguments])
    job.run(step)
