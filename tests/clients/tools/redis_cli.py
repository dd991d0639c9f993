"""redis-cli: its modes."""

import os
import subprocess

import job

PROGRAM = os.path.join(os.environ["TOOLS"], "redis-cli")
IS_CLUSTER = job.MODE == "cluster"
# For one call, in seconds.
CALL_MAX = 20
SCRIPT = "redis_cli.lua"

with open(SCRIPT, "w") as file:
    file.write("return redis.call('incrby', KEYS[1], ARGV[1])\n")


def call(*words, given="", is_endless=False):
    """What redis-cli prints. A mode that does not end is killed after a second."""
    command = [PROGRAM, "-p", str(job.reachable_port()), *(["-c"] if IS_CLUSTER else []), *words]
    if is_endless:
        command = ["timeout", "1", *command]
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=CALL_MAX, check=False
    )
    ended_well = done.returncode == 0 or (is_endless and done.returncode == 124)
    job.check(ended_well, f"{words}: status {done.returncode}: {done.stdout}{done.stderr}")
    job.check("ERR" not in done.stdout, f"{words}: {done.stdout}")
    return done.stdout


def quick(n):
    job.check(call("set", f"key:{n}", str(n)) == "OK\n", "SET")
    job.check(call("get", f"key:{n}") == f"{n}\n", "GET")
    job.check(call("-x", "set", f"input:{n}", given="words") == "OK\n", "-x")
    job.check("1) " in call("--no-raw", "mget", f"{{{n}}}a", f"{{{n}}}b"), "--no-raw")
    job.check(call("--eval", SCRIPT, f"sum:{n}", ",", "3") == "3\n", "--eval")
    got = call("-3", "hello", "3")
    job.check("proto 3" in got, f"HELLO printed {got}")


def modes():
    commands = "".join(f"RPUSH {{list}}:{i} a b c\r\n" for i in range(100))
    if not IS_CLUSTER:
        # In a cluster, --pipe sends all to one node.
        got = call("--pipe", given=commands)
        job.check("errors: 0, replies: 100" in got, f"--pipe printed {got}")
        found = call("--scan", "--pattern", "{list}:*").split()
        job.check(len(found) == 100, f"--scan found {len(found)}")
    for words in (["--bigkeys"], ["--memkeys"]):
        got = call(*words)
        job.check("summary" in got, f"{words} printed {got}")
    for words in (["--stat"], ["--latency", "--raw"], ["--latency-dist"]):
        call(*words, is_endless=True)
    call("monitor", is_endless=True)
    if IS_CLUSTER:
        for words in (["check"], ["info"]):
            got = call("--cluster", *words, f"{job.HOST}:{job.reachable_port()}")
            job.check("All 16384 slots covered" in got or words == ["info"], got)


def step(n):
    quick(n)
    if n % 10 == 0:
        modes()


def verify():
    job.check(call("get", "key:0") == "0\n", "the first key")


job.run(step, verify)
