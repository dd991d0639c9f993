"""RQ: jobs with results and dependencies, by a worker process."""

import sys

import redis
from rq import Queue

import job

# That are waiting at a time.
JOBS = 4


def step(n):
    others = [queue.enqueue("rq_functions.add", n, i) for i in range(JOBS)]
    first = queue.enqueue("rq_functions.add", n, 1)
    second = queue.enqueue("rq_functions.add", n, 2, depends_on=first)
    sums = [(one, n + i) for i, one in enumerate(others)] + [(first, n + 1), (second, n + 2)]
    for one, expected in sums:
        job.wait_for("result", lambda: one.return_value() is not None, 20)
        job.check(one.return_value() == expected, f"the result is {one.return_value()}")
    first.delete()


with open("rq_functions.py", "w") as file:
    file.write("def add(a, b):\n    return a + b\n")
queue = Queue("default", connection=redis.Redis(port=job.PORTS[0]))
command = [sys.executable, "-m", "rq.cli", "worker", "--url", job.URL, "--worker-class"]
job.supervise([*command, "rq.worker.SimpleWorker", "default"])
job.run(step)
