"""redis_exporter: scrapes of a member, with the sizes of keys."""

import os
import socket
import subprocess
import sys
import urllib.request

import job

PROGRAM = os.path.join(os.environ["TOOLS"], "prometheus-redis-exporter")
# For a scrape, in seconds.
SCRAPE_MAX = 10

with socket.socket() as free:
    free.bind((job.HOST, 0))
    port = free.getsockname()[1]
exporter = subprocess.Popen(
    [PROGRAM, "-redis.addr", job.URL, "-web.listen-address", f"{job.HOST}:{port}",
     "-check-keys", "db0=list*"],
    stdout=sys.stderr,
)
command = ["rpush", "list", "a", "b"]
with socket.create_connection((job.HOST, job.PORTS[0])) as member:
    member.sendall(" ".join(command).encode() + b"\r\n")
    job.check(member.recv(100) == b":2\r\n", "RPUSH")


def scrape():
    try:
        url = f"http://{job.HOST}:{port}/metrics"
        return urllib.request.urlopen(url, timeout=SCRAPE_MAX).read().decode()
    except OSError:
        return None


def step(n):
    page = scrape()
    job.check(page is not None, "the exporter does not respond")
    for sample in ("redis_up 1", 'redis_key_size{db="db0",key="list"} 2', "redis_uptime_in_seconds"):
        job.check(f"\n{sample}" in page, f"there is no {sample}")


job.wait_for("exporter", scrape)
job.run(step)
