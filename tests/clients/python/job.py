"""The main job of a library, repeated while a member is killed."""

import asyncio
import inspect
import os
import socket
import subprocess
import sys
import threading
import time
import traceback

MODE = os.environ["CONVOKE_MODE"]
PORTS = [int(port) for port in os.environ["CONVOKE_PORTS"].split(",")]
HOST = "127.0.0.1"
URL = f"redis://{HOST}:{PORTS[0]}/0"

# Before the kill: steps that all succeed, for at least this time in seconds.
STEPS_BEFORE = 10
BEFORE = 2.0
# After it: consecutive steps that succeed, for at least this time in seconds.
STEPS_AFTER = 10
AFTER = 3.0
# From the kill until they have, in seconds.
RECOVERY_MAX = 60.0
# Between two steps, in seconds.
PAUSE = 0.01
# Between two steps of which the first one failed, in seconds.
PAUSE_AFTER_ERROR = 0.1
# From the end of a supervised worker until it is started again, in seconds.
RESTART = 1.0
# Errors that are printed.
ERRORS_SHOWN = 20


def check(condition, what):
    """Fails the step unless the condition holds."""
    if not condition:
        raise AssertionError(what)


def wait_for(what, probe, within=20.0):
    """Returns the first truthy result of `probe()`."""
    deadline = time.monotonic() + within
    while True:
        got = probe()
        if got:
            return got
        check(time.monotonic() < deadline, f"no {what} within {within} s")
        time.sleep(0.02)


def reachable_port():
    """The RESP port of a member that accepts connections, for programs with one address."""
    for port in PORTS:
        try:
            socket.create_connection((HOST, port), 1).close()
            return port
        except OSError:
            pass
    raise AssertionError("no member accepts connections")


def supervise(command):
    """Starts a worker, and starts it again whenever it ends, as a service manager does."""
    def keep():
        while True:
            status = subprocess.run(command, stdout=sys.stderr, check=False).returncode
            print(f"the worker ended with status {status}", file=sys.stderr, flush=True)
            time.sleep(RESTART)

    threading.Thread(target=keep, daemon=True).start()


class _Progress:
    def __init__(self):
        self.number = 0
        self.succeeded_at = None
        self.interruption = 0.0
        self.in_a_row = 0
        self.errors = 0

    def succeeded(self):
        now = time.monotonic()
        if self.succeeded_at is not None:
            self.interruption = max(self.interruption, now - self.succeeded_at)
        self.succeeded_at = now
        self.in_a_row += 1

    def failed(self, error):
        self.errors += 1
        self.in_a_row = 0
        if self.errors <= ERRORS_SHOWN:
            print(f"step {self.number}: {type(error).__name__}: {error}", file=sys.stderr)


async def _result(value):
    return await value if inspect.isawaitable(value) else value


async def _run(step, verify, shutdown):
    progress = _Progress()
    started = time.monotonic()
    while progress.number < STEPS_BEFORE or time.monotonic() - started < BEFORE:
        await _result(step(progress.number))
        progress.number += 1
        progress.succeeded()
        await asyncio.sleep(PAUSE)
    usual = progress.interruption
    killed = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), killed.set()), daemon=True).start()
    print("READY", flush=True)
    killed_at = None
    while True:
        try:
            await _result(step(progress.number))
        except Exception as error:  # Whatever a client raises: the job goes on.
            progress.failed(error)
            await asyncio.sleep(PAUSE_AFTER_ERROR)
        else:
            progress.succeeded()
            await asyncio.sleep(PAUSE)
        progress.number += 1
        now = time.monotonic()
        if killed_at is None:
            if killed.is_set():
                killed_at, progress.in_a_row = now, 0
        elif progress.in_a_row >= STEPS_AFTER and now - killed_at >= AFTER:
            break
        elif now - killed_at >= RECOVERY_MAX:
            raise AssertionError(f"the job has not recovered within {RECOVERY_MAX} s")
    if verify:
        await _result(verify())
    if shutdown:
        await _result(shutdown())
    print(f"{progress.number} steps, {progress.errors} errors", file=sys.stderr, flush=True)
    longer = progress.interruption - usual
    print(f"DONE interruption_ms={round(longer * 1000)}", flush=True)


def run(step, verify=None, shutdown=None):
    """Calls `step(n)` with n = 0, 1, … before, during and after the kill, and then `verify()`.

    All of them may be coroutines. A step fails by raising an error.
    """
    async def main():
        await _run(step, verify, shutdown)

    run_main(main)


def run_main(main):
    """Runs a coroutine that ends with `steps`; exits without waiting for other threads."""
    try:
        asyncio.run(main())
    except BaseException as error:
        traceback.print_exc()
        print(f"{type(error).__name__}: {error}".replace("\n", " "), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


async def steps(step, verify=None):
    """Like `run`, inside of an event loop that the caller has set up."""
    await _run(step, verify, None)
