"""The pytest plugin of run.py: excluded tests are not run, each test has a time limit, and each
result is written immediately, so that none is lost when a file has to be killed."""

import json
import os
import signal
from contextlib import contextmanager

import pytest
from _pytest.skipping import evaluate_skip_marks

EXCLUDED = json.loads(os.environ.get("SUITE_EXCLUDED", "[]"))
LIMIT_S = int(os.environ.get("SUITE_TEST_LIMIT_S", "30"))
LOG = os.environ["SUITE_LOG"]
DETAIL_CHARACTERS_MAX = 1_000


def name_of(nodeid):
    """The name of a test without its file."""
    return nodeid.split("::", 1)[1] if "::" in nodeid else nodeid


def is_excluded(name):
    """Whether a test is excluded, by its name with or without parameters."""
    return name in EXCLUDED or name.split("[", 1)[0] in EXCLUDED


def write(**record):
    with open(LOG, "a", encoding="utf-8") as log:
        log.write(json.dumps(record) + "\n")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Tests that the suite skips itself are not counted as excluded."""
    excluded = {item for item in items if is_excluded(name_of(item.nodeid)) and not evaluate_skip_marks(item)}
    for item in excluded:
        write(name=name_of(item.nodeid), when="excluded", outcome="excluded")
    if excluded:
        config.hook.pytest_deselected(items=list(excluded))
        items[:] = [item for item in items if item not in excluded]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    report.reason = ""
    if call.excinfo is not None:
        lines = [entry.lineno + 1 for entry in call.excinfo.traceback if str(entry.path) == str(item.path)]
        place = f"line {lines[-1]}: " if lines else ""
        report.reason = (place + call.excinfo.exconly())[:DETAIL_CHARACTERS_MAX]
    return report


def pytest_runtest_logreport(report):
    # Expected failures are not counted.
    outcome = "skipped" if hasattr(report, "wasxfail") else report.outcome
    write(name=name_of(report.nodeid), when=report.when, outcome=outcome, detail=report.reason, seconds=report.duration)


def pytest_collectreport(report):
    if report.failed:
        write(name=report.nodeid or "(all)", when="collect", outcome="failed", detail=str(report.longrepr)[-DETAIL_CHARACTERS_MAX:])


class TooLong(Exception):
    """A test exceeded its time limit."""


def ring(_signal, _frame):
    raise TooLong(f"timed out after {LIMIT_S} s")


@contextmanager
def limit():
    signal.signal(signal.SIGALRM, ring)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    with limit():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    with limit():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    with limit():
        return (yield)
