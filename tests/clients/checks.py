"""Checks that are counted; the first that does not hold ends the script."""

import sys
import time

# How long something may take that should be so at once.
SOON = 10


class Deviation(Exception):
    """What was expected, and what came instead."""


class Checks:
    """Checks of one script."""

    def __init__(self, client):
        self.client = client
        self.passed = 0
        self.part = ""

    def equal(self, what, got, expected):
        """`got` is `expected`, and of the same type."""
        if got != expected or type(got) is not type(expected):
            self.fail(what, f"{expected!r}", f"{got!r}")
        self.passed += 1

    def holds(self, what, is_so, got=None):
        """Something is so."""
        if not is_so:
            self.fail(what, "that it is so", f"{got!r}")
        self.passed += 1

    def refused(self, what, text, ask, kind=Exception):
        """`ask()` raises an error whose text is `text`."""
        try:
            got = ask()
        except kind as error:
            self.equal(what, str(error), text)
        else:
            self.fail(what, f"the error {text!r}", f"{got!r}")

    def comes(self, what, look, within=SOON):
        """`look()` gives something true before long; gives that."""
        deadline = time.monotonic() + within
        while True:
            got = look()
            if got:
                self.passed += 1
                return got
            if time.monotonic() >= deadline:
                self.fail(what, f"it within {within} s", f"{got!r}")
            time.sleep(0.01)

    def fail(self, what, expected, got):
        where = f"{self.part}: {what}" if self.part else what
        raise Deviation(f"{where}\n  expected {expected}\n  got      {got}")


def run(client, check):
    """Calls `check` with fresh checks; says how it ended."""
    checks = Checks(client)
    try:
        check(checks)
    except Deviation as deviation:
        sys.exit(f"{client}: {deviation}")
    except Exception as error:
        print(f"{client}: {checks.part}: after {checks.passed} checks", file=sys.stderr)
        raise error
    print(f"{client}: {checks.passed} checks passed")
