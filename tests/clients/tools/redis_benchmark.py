"""redis-benchmark: its whole default list."""

import os
import subprocess

import job

PROGRAM = os.path.join(os.environ["TOOLS"], "redis-benchmark")
# Requests of one test; the list has this number of results.
REQUESTS = "200"
RESULTS = 20
# For the whole list, in seconds. It takes less than one, and does not end by itself when the member that it
# was connected to is gone: redis-benchmark tries to connect again without end.
LIST_MAX = 10


def step(n):
    port = str(job.reachable_port())
    command = [PROGRAM, "-q", "-n", REQUESTS, "-c", "10", "-r", "1000", "-p", port]
    if job.MODE == "cluster":
        command.append("--cluster")
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LIST_MAX, check=False
    )
    printed = done.stdout.replace("\r", "\n") + done.stderr
    job.check(done.returncode == 0, f"status {done.returncode}: {printed[-200:]}")
    job.check("error" not in printed.lower(), printed[-400:])
    results = printed.count("requests per second")
    job.check(results >= RESULTS, f"{results} results, not {RESULTS}: {printed[-400:]}")


job.run(step)
