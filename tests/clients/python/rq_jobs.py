"""RQ: jobs with results and dependencies, by a worker process."""

import subprocess
import sys

import redis
from rq import Queue

import job


def step(n):
    first = queue.enqueue("rq_functions.add", n, 1)
    second = queue.enqueue("rq_functions.add", n, 2, depends_on=first)
    for one, expected in [(first, n + 1), (second, n + 2)]:
        job.wait_for("result", lambda: one.return_value() is not None, 20)
        job.check(one.return_value() == expected, f"the result is {one.return_value()}")
    first.delete()


with open("rq_functions.py", "w") as file:
    file.write("def add(a, b):\n    return a + b\n")
queue = Queue("default", connection=redis.Redis(port=job.PORTS[0]))
command = [sys.executable, "-m", "rq.cli", "worker", "--url", job.URL, "--worker-class"]
worker = subprocess.Popen([*command, "rq.worker.SimpleWorker", "default"], stdout=sys.stderr)
job.run(step)
