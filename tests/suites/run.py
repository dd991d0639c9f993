#!/usr/bin/env python3
"""Runs a test suite against a RESP server, unit by unit, and writes the results: see README.md
in this folder.

    run.py --folder F --target convoke --port P[,P…] --suite tcl|redis8|valkey|redis-py --json OUT
    run.py --folder F --target redis --suite tcl|redis8|valkey|redis-py --json OUT

With --target redis and without a port, the suite's own server is started for the run: Redis 7.0 for tcl and
redis-py, Redis 8 for redis8, Valkey for valkey. It must be a new instance, since the tests leave
settings behind.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Units about the slow commands, pauses, tracked keys and figures of one process.
ONE_PROCESS_UNITS = [
    "unit/dump",
    "unit/info-command",
    "unit/latency-monitor",
    "unit/querybuf",
    "unit/slowlog",
    "unit/tracking",
    "unit/violations",
]

# Units of Redis 8 and Valkey.
NEWER_UNITS = [
    "unit/protocol",
    "unit/type/string",
    "unit/type/incr",
    "unit/keyspace",
    "unit/expire",
    "unit/scan",
    "unit/type/hash",
    "unit/type/set",
    "unit/type/list",
    "unit/type/list-3",
    "unit/type/zset",
    "unit/type/stream",
    "unit/type/stream-cgroups",
    "unit/pubsub",
    "unit/pubsubshard",
    "unit/multi",
    "unit/quit",
    "unit/introspection",
    "unit/introspection-2",
    "unit/other",
    "unit/sort",
    "unit/bitops",
    "unit/bitfield",
    "unit/geo",
    "unit/hyperloglog",
    *ONE_PROCESS_UNITS,
    "unit/scripting",
    "unit/functions",
    # Last, since a test that fails leaves the member paused.
    "unit/pause",
]

UNITS = {
    "tcl": [
        # Tests of limits run before those that raise them permanently (on Redis).
        "unit/protocol",
        "unit/type/string",
        "unit/type/incr",
        "unit/keyspace",
        "unit/expire",
        "unit/scan",
        "unit/type/hash",
        "unit/type/set",
        "unit/type/list",
        "unit/type/list-3",
        "unit/type/zset",
        "unit/type/stream",
        "unit/type/stream-cgroups",
        "unit/pubsub",
        "unit/multi",
        "unit/quit",
        "unit/introspection",
        "unit/introspection-2",
        "unit/other",
        "unit/sort",
        "unit/bitops",
        "unit/bitfield",
        "unit/geo",
        "unit/dump",
        "unit/info-command",
        "unit/slowlog",
        "unit/violations",
        "unit/scripting",
        "unit/functions",
    ],
    "redis8": [*NEWER_UNITS[:7], "unit/type/hash-field-expire", *NEWER_UNITS[7:]],
    "valkey": [*NEWER_UNITS[:7], "unit/hashexpire", *NEWER_UNITS[7:]],
    "redis-py": [
        "tests/test_commands.py",
        "tests/test_pubsub.py",
        "tests/test_pipeline.py",
        "tests/test_encoding.py",
        "tests/test_connection_pool.py",
        "tests/test_keyspace_notifications.py",
        "tests/test_client.py",
        "tests/test_data_structure.py",
        "tests/test_scripting.py",
        "tests/test_function.py",
        "tests/test_lock.py",
    ],
}

# Units of newer suites that are tagged for servers that the suite starts, but run on others too.
LIFTED = ["unit/type/hash-field-expire", "unit/pubsubshard"]

# Units whose connections all go to the same member.
ONE_MEMBER = [*ONE_PROCESS_UNITS, "unit/introspection", "unit/introspection-2", "unit/pause", "unit/pubsubshard"]

# Tags of tests that need a certain machine or a long time.
TAGS = "-needs:debug -needs:repl -needs:save -needs:reset -needs:config-maxmemory -slow"
# Tests of other server set-ups.
MARKS = "not onlycluster and not redismod and not ssl and not cp_integration"

# Suite: folder of its tests, folder of its programs, and its server, in the folder of fetch.sh.
TCL_SUITES = {
    "tcl": ("redis", "root", "redis-server"),
    "redis8": ("newer/redis8", "newer/root", "redis-server"),
    "valkey": ("newer/valkey", "newer/root", "valkey-server"),
}

START_S = 10
STALL_S = 30
# Attempts to start a unit of Redis' tests while its port is in use.
STARTS_MAX = 3
PORT_TAKEN = "address already in use"
# Number of output lines that are printed if a unit ends prematurely.
LAST_LINES = 8
UNIT_S = {"tcl": 120, "redis8": 120, "valkey": 120, "redis-py": 150}


def main():
    options = arguments()
    with redis_server(options) as port:
        run_suite(options, (options.port or port).split(","))


def run_suite(options, ports):
    units = [unit for unit in options.unit or UNITS[options.suite] if unit not in options.but]
    groups = exclusions() if options.target == "convoke" and not options.all else []
    done = {}
    for at, unit in enumerate(units):
        # Consecutive units start with different members.
        turned = ports[at % len(ports) :] + ports[: at % len(ports)]
        if unit in ONE_MEMBER:
            turned = turned[:1]
        begun = time.monotonic()
        run = run_tcl if options.suite in TCL_SUITES else run_redis_py
        names = [name for _, names in excluded_of(groups, options.suite, unit, len(turned)) for name in names]
        result = run(options, unit, turned, names)
        result["members"] = len(turned)
        result["seconds"] = round(time.monotonic() - begun, 1)
        done[unit] = result
        print(
            f"{options.suite:8} {unit:38} {len(result['ok']):4} passed {len(result['failed']):4} failed"
            f" {len(result['excluded']):4} excluded {result['seconds']:6.1f} s  {result['trouble'] or ''}",
            flush=True,
        )
    outcome = {
        "suite": options.suite,
        "target": options.target,
        "version": version_of(options),
        "members": len(ports),
        "all": options.all,
        "units": done,
    }
    Path(options.json).write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")


def arguments():
    parser = argparse.ArgumentParser(description="Runs a suite against a RESP server.")
    parser.add_argument("--folder", required=True, type=Path, help="what fetch.sh filled")
    parser.add_argument("--target", required=True, choices=["redis", "convoke"])
    parser.add_argument("--port", help="ports on 127.0.0.1, of several members with commas between")
    parser.add_argument("--suite", required=True, choices=list(UNITS))
    parser.add_argument("--json", required=True, help="where to write the outcome")
    parser.add_argument("--python", default=sys.executable, help="a Python that has pytest (for redis-py)")
    parser.add_argument("--unit", action="append", help="this unit only; may be repeated")
    parser.add_argument("--but", action="append", default=[], help="all units without this one; may be repeated")
    parser.add_argument("--logs", type=Path, help="a folder for what the suites print")
    parser.add_argument("--all", action="store_true", help="exclude nothing, to find what need not be excluded")
    parser.add_argument("--cluster-mode", action="store_true", help="leave out what Redis leaves out on a Redis Cluster")
    options = parser.parse_args()
    if options.target == "convoke" and not options.port:
        parser.error("--target convoke needs --port")
    options.folder = options.folder.resolve()
    needed = "newer/complete" if options.suite in ("redis8", "valkey") else "complete"
    if not (options.folder / needed).is_file():
        parser.error(f"{options.folder} has no {needed}: run fetch.sh first")
    if options.logs is None:
        options.logs = Path(tempfile.mkdtemp(prefix="convoke-suites-"))
    options.logs.mkdir(parents=True, exist_ok=True)
    options.logs = options.logs.resolve()
    # Links are not resolved: Python finds its virtual environment by the path of the link.
    options.python = os.path.abspath(shutil.which(options.python) or options.python)
    return options


def exclusions():
    """The groups of excluded tests: each has a reason."""
    files = sorted(HERE.glob("exclusions*.toml"))
    return [group for file in files for group in tomllib.loads(file.read_text(encoding="utf-8")).get("excluded", [])]


def excluded_of(groups, suite, unit, members):
    """Reasons that apply to a unit whose connections go to this number of members: each reason, with names."""
    holds = {"members": members > 1}
    # What both newer suites have in common is under a key of its own.
    keys = [suite, "newer"] if suite in ("redis8", "valkey") else [suite]
    for group in groups:
        names = [name for key in keys for name in group.get(key, {}).get(unit, [])]
        if names and holds.get(group.get("when"), True):
            yield group["reason"], names


@contextmanager
def redis_server(options):
    """Starts the server of the suite for the run, unless a port is given."""
    if options.port:
        yield None
        return
    port = str(free_port())
    with tempfile.TemporaryDirectory() as folder:
        program, environment = server_of(options)
        command = [*program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        if options.suite in ("redis8", "valkey"):
            command += ["--enable-debug-command", "yes"]
        with open(options.logs / "redis-server.log", "wb") as log:
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(port, server)
            yield port
        finally:
            server.terminate()
            server.wait()


def version_of(options):
    """The version of the package that the tests are from, without Debian's revision."""
    package = {"redis8": "redis", "valkey": "valkey"}.get(options.suite)
    if not package:
        return ""
    stamp = (options.folder / "newer/complete").read_text(encoding="utf-8")
    found = re.search(rf"^{package} (?:\d+:)?([\d.]+)", stamp, re.MULTILINE)
    return found.group(1) if found else ""


def server_of(options):
    """The command that starts the server, and its environment."""
    _, root, server = TCL_SUITES.get(options.suite, TCL_SUITES["tcl"])
    root = options.folder / root
    program = root / "usr/bin" / server
    if root == options.folder / "root":
        return [program], {**os.environ, **libraries(options.folder)}
    # A program of a later release than the machine's runs with the loader of its own release.
    loader = next(root.glob("usr/lib/*-linux-*/ld-linux*.so.*"))
    return [loader, "--library-path", loader.parent, program], os.environ


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, server):
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("redis-server did not start: see redis-server.log")


def libraries(folder):
    """The environment in which the downloaded programs find their libraries."""
    folders = [str(path) for path in (folder / "root/usr/lib").glob("*-linux-*")]
    return {"LD_LIBRARY_PATH": ":".join(folders)} if folders else {}


def log_of(options, unit):
    name = f"{options.target}-{options.suite}-{unit}".replace("/", "-")
    return options.logs / f"{name}.log"


def execute(command, folder, environment, log, seconds):
    """Runs a command; kills it and its children after the time limit."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(seconds), None
        except subprocess.TimeoutExpired:
            return None, f"timed out after {seconds} s"
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


# --- Redis' own tests.


def tcl(folder):
    """The Tcl interpreter, with the environment that a downloaded one needs."""
    root = folder / "root"
    own = root / "usr/bin/tclsh8.6"
    if not own.is_file():
        return "tclsh", {}
    return str(own), {**libraries(folder), "TCL_LIBRARY": str(root / "usr/share/tcltk/tcl8.6")}


def run_tcl(options, unit, ports, excluded):
    interpreter, environment = tcl(options.folder)
    tests, root, _ = TCL_SUITES[options.suite]
    is_lifted = options.suite != "tcl" and unit in LIFTED
    is_adapted = is_lifted or options.target == "convoke"
    script = str(HERE / "around.tcl") if is_adapted else "tests/test_helper.tcl"
    log = log_of(options, unit)
    skipped = log.with_suffix(".skip")
    skipped.write_text("\n".join(excluded), encoding="utf-8")
    command = [interpreter, script, "--host", "127.0.0.1", "--port", ports[0]]
    command += ["--singledb", "--ignore-encoding", "--ignore-digest", "--durable"]
    command += ["--tags", TAGS, "--timeout", str(STALL_S), "--skipfile", str(skipped), "--single", unit]
    if options.cluster_mode:
        command.append("--cluster-mode")
    environment |= {
        "SUITE_PORTS": ",".join(ports),
        "SUITE_TARGET": options.target,
        "SUITE_LIFTED": str(int(is_lifted)),
        # Valkey's tests only check that the programs are there.
        "VALKEY_BIN_DIR": str(options.folder / root / "usr/bin"),
        "TERM": "dumb",
    }
    for _ in range(STARTS_MAX):
        # The suite's own server uses the first free port of 32 before this one. Concurrent runs must
        # use different ranges, below the ephemeral ports.
        base = str(random.randrange(20_000, 29_000, 40))
        full = [*command, "--baseport", base]
        code, trouble = execute(full, options.folder / tests, environment, log, UNIT_S[options.suite])
        text = log.read_text(encoding="utf-8", errors="replace")
        result = parse_tcl(text, unit)
        # Between the search for a free port and its use, another process may have taken it.
        if PORT_TAKEN not in text or result["ok"] or result["failed"]:
            break
    if trouble is None and not result["done"]:
        last = " / ".join(line for line in text.splitlines()[-LAST_LINES:] if line)
        trouble = f"ended prematurely (code {code}), with: {last}"
    if "TIMEOUT" in result["failed"]:
        trouble = result["failed"].pop("TIMEOUT")
    del result["done"]
    return {**result, "trouble": trouble}


def parse_tcl(text, unit):
    result = {"ok": [], "failed": {}, "excluded": [], "ignored": [], "done": False}
    detail = None
    for line in text.splitlines():
        if line.startswith("*** "):
            break
        found = re.match(r"\[(ok|err|skip|ignore|exception|TIMEOUT|ready|testing)\]: (.*)", line)
        if re.match(r"\[\d+/\d+ done\]: " + re.escape(unit), line):
            result["done"] = True
        if not found:
            if detail is not None:
                result["failed"][detail] += "\n" + line
            continue
        kind, rest = found.groups()
        detail = None
        if kind == "ok":
            result["ok"].append(re.sub(r" \(\d+ ms\)$", "", rest))
        elif kind == "skip":
            result["excluded"].append(rest)
        elif kind == "ignore":
            result["ignored"].append(rest)
        elif kind == "err":
            detail = rest.split(" in tests/", 1)[0]
            while detail in result["failed"]:
                detail += " (again)"
            result["failed"][detail] = ""
        elif kind == "TIMEOUT":
            detail = "TIMEOUT"
            result["failed"][detail] = f"no progress in {STALL_S} s:"
        elif kind == "exception":
            detail = "(exception)"
            result["failed"][detail] = rest
    return result


# --- redis-py's tests.


def run_redis_py(options, unit, ports, excluded):
    log = log_of(options, unit)
    records = log.with_suffix(".records")
    records.unlink(missing_ok=True)
    command = [options.python, "-m", "pytest", "-p", "no:cacheprovider", "-p", "suite_plugin", "-q", "-m", MARKS]
    command += ["--tb=no", "--redis-url", f"redis://127.0.0.1:{ports[0]}/0", unit]
    environment = {
        "PYTHONPATH": str(HERE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SUITE_LOG": str(records),
        "SUITE_EXCLUDED": json.dumps(excluded),
    }
    code, trouble = execute(command, options.folder / "redis-py", environment, log, UNIT_S["redis-py"])
    result = parse_records(records)
    # 0: all passed, 1: some failed, 5: no tests were selected.
    if trouble is None and code not in (0, 1, 5):
        trouble = f"pytest ended with {code}"
    return {**result, "trouble": trouble}


def parse_records(records):
    """Reads the results. Each test has up to three records: set-up, call, tear-down."""
    ok, failed, excluded, ignored = set(), {}, [], []
    lines = records.read_text(encoding="utf-8").splitlines() if records.exists() else []
    for line in lines:
        record = json.loads(line)
        name, outcome = record["name"], record["outcome"]
        if outcome == "excluded":
            excluded.append(name)
        elif outcome == "failed":
            failed[name] = f"{record['when']}: {record['detail']}"
        elif outcome == "skipped":
            ignored.append(name)
        elif record["when"] == "call":
            ok.add(name)
    return {"ok": sorted(ok - failed.keys()), "failed": failed, "excluded": excluded, "ignored": ignored}


if __name__ == "__main__":
    main()
