"""Counted checks; the first one that fails ends the script."""

import sys
import time

# Timeout of conditions that should hold almost immediately, in seconds.
TIMEOUT = 10


class CheckFailure(Exception):
    """A failed check: the expected and the actual value."""


class Checks:
    """Checks of one script."""

    def __init__(self, client):
        self.client = client
        self.passed = 0
        self.part = ""

    def equal(self, what, got, expected):
        """`got` equals `expected`, and has the same type."""
        if got != expected or type(got) is not type(expected):
            self.fail(what, f"{expected!r}", f"{got!r}")
        self.passed += 1

    def holds(self, what, condition, got=None):
        """A condition holds."""
        if not condition:
            self.fail(what, "that the condition holds", f"{got!r}")
        self.passed += 1

    def refused(self, what, text, request, kind=Exception):
        """`request()` raises an error whose text is `text`."""
        try:
            got = request()
        except kind as error:
            self.equal(what, str(error), text)
        else:
            self.fail(what, f"the error {text!r}", f"{got!r}")

    def eventually(self, what, probe, within=TIMEOUT):
        """`probe()` returns a truthy value within the timeout; returns that."""
        deadline = time.monotonic() + within
        while True:
            got = probe()
            if got:
                self.passed += 1
                return got
            if time.monotonic() >= deadline:
                self.fail(what, f"a result within {within} s", f"{got!r}")
            time.sleep(0.01)

    def fail(self, what, expected, got):
        where = f"{self.part}: {what}" if self.part else what
        raise CheckFailure(f"{where}\n  expected {expected}\n  got      {got}")


def run(client, check):
    """Calls `check` with new checks; prints the result."""
    checks = Checks(client)
    try:
        check(checks)
    except CheckFailure as failure:
        sys.exit(f"{client}: {failure}")
    except Exception as error:
        print(f"{client}: {checks.part}: after {checks.passed} checks", file=sys.stderr)
        raise error
    print(f"{client}: {checks.passed} checks passed")
