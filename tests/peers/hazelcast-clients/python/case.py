"""Cases: each performs operations on fresh structures, and notes what each of them returned."""

import enum
import os
import threading
import time
import zlib

import hazelcast
from hazelcast.core import HazelcastJsonValue, MapEntry

# The longest time to wait for a condition, and for how long an event that must not come is waited
# for, in seconds.
WAIT = 12
QUIET = 0.15
POLL = 0.01

# Longer texts are printed as their length and checksum.
LENGTH_MAX = 80

# Different in each run, so that a member may be used again.
RUN = format(time.monotonic_ns() & 0xFFFFFFF, "x")

CASES = {}


def case(name):
    """Declares a case."""

    def declare(body):
        if name in CASES:
            raise ValueError(f"two cases are named {name}")
        CASES[name] = body
        return body

    return declare


def text(value):
    """A value in one canonical form."""
    if value is None or isinstance(value, (bool, int)):
        return str(value)
    if isinstance(value, enum.Enum):
        return str(value)
    if isinstance(value, str):
        if len(value) > LENGTH_MAX:
            return f"<str, length {len(value)}, checksum {zlib.crc32(value.encode())}>"
        return '"' + value.encode("unicode_escape").decode() + '"'
    if isinstance(value, (bytes, bytearray)):
        if len(value) > LENGTH_MAX:
            return f"<bytes, length {len(value)}, checksum {zlib.crc32(value)}>"
        return "bytes " + value.hex()
    if isinstance(value, BaseException):
        return "!" + type(value).__name__
    if isinstance(value, HazelcastJsonValue):
        return "json " + value.to_string()
    if isinstance(value, MapEntry):
        return text(value.key) + ": " + text(value.value)
    if isinstance(value, dict):
        return large("{" + ", ".join(sorted(f"{text(k)}: {text(v)}" for k, v in value.items())) + "}")
    if isinstance(value, tuple):
        return large("(" + ", ".join(text(item) for item in value) + ")")
    if isinstance(value, (set, frozenset)):
        return unordered(value)
    if hasattr(value, "__iter__"):
        return large("[" + ", ".join(text(item) for item in value) + "]")
    # A description that is an address differs in each run.
    return type(value).__name__ if type(value).__str__ is object.__str__ else str(value)


def large(line):
    if len(line) > 8 * LENGTH_MAX:
        return f"<length {len(line)}, checksum {zlib.crc32(line.encode())}>"
    return line


def unordered(values):
    """Values whose order does not count."""
    return large("(" + ", ".join(sorted(text(value) for value in values)) + ")")


def options(**more):
    """The configuration of a client of the cluster."""
    import objects

    ports = os.environ["PEER_PORTS"].split(",")
    config = {
        "cluster_name": os.environ["PEER_CLUSTER"],
        "cluster_members": [f"127.0.0.1:{port}" for port in ports],
        "invocation_timeout": 15,
        "cluster_connect_timeout": 10,
        "portable_factories": objects.FACTORIES,
        "compact_serializers": [objects.PersonSerializer()],
    }
    config.update(more)
    return config


class Events:
    """Events, as texts."""

    def __init__(self):
        self.texts = []

    def add(self, *parts):
        self.texts.append(" ".join(part if part in NAMES else text(part) for part in parts))

    def named(self, name):
        """A function for events of entries that adds the name, key and values."""
        return lambda event: self.add(name, event.key, event.old_value, event.value)

    def items(self, name):
        return lambda event: self.add(name, event.item)

    def of_map(self, name):
        return lambda event: self.add(name, event.number_of_affected_entries)


NAMES = {"added", "removed", "updated", "evicted", "expired", "cleared", "all-evicted", "loaded"}


class Case:
    def __init__(self, name, client):
        self.name = name
        self.client = client
        self.seen = []
        self.others = []

    def fresh(self, more=""):
        """The name of a structure that no other case uses."""
        return f"python-{self.name}-{RUN}{more}"

    def see(self, operation, *arguments, **named):
        """Notes what an operation returns, or its error."""
        try:
            outcome = operation(*arguments, **named)
        except Exception as error:  # pylint: disable=broad-except
            outcome = error
        self.note(outcome)

    def see_unordered(self, operation, *arguments):
        try:
            self.seen.append(unordered(operation(*arguments)))
        except Exception as error:  # pylint: disable=broad-except
            self.note(error)

    def note(self, value):
        self.seen.append(text(value))

    @staticmethod
    def is_soon(condition):
        end = time.monotonic() + WAIT
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(POLL)
        return True

    def wait(self, condition):
        """Waits for a condition, and notes whether it came true."""
        self.seen.append("came" if self.is_soon(condition) else "did not come")

    def start(self, operation, *arguments, **named):
        """Runs an operation in a thread of its own, and so with its own locks."""
        return Task(operation, arguments, named)

    def see_elsewhere(self, operation, *arguments, **named):
        self.see(self.start(operation, *arguments, **named).result)

    def events(self, events, count):
        """Waits for a number of events, and then for further ones; notes them in their order."""
        self.is_soon(lambda: len(events.texts) >= count)
        time.sleep(QUIET)
        self.seen.append("events [" + ", ".join(events.texts) + "]")

    def events_of_keys(self, events, count):
        """The same for events of several keys, whose order does not count."""
        self.is_soon(lambda: len(events.texts) >= count)
        time.sleep(QUIET)
        self.seen.append("events (" + ", ".join(sorted(events.texts)) + ")")

    def distinct_events(self, events, count):
        """The same for events that each member may send."""
        self.is_soon(lambda: len(set(events.texts)) >= count)
        time.sleep(QUIET)
        self.seen.append("events (" + ", ".join(sorted(set(events.texts))) + ")")

    def another(self, **more):
        """A client of its own, which is closed after the case."""
        other = hazelcast.HazelcastClient(**options(**more))
        self.others.append(other)
        return other

    def outcome(self):
        return "; ".join(self.seen)

    def close(self):
        for other in self.others:
            other.shutdown()


class Task:
    """An operation in a thread of its own."""

    def __init__(self, operation, arguments, named):
        self.outcome = None
        self.error = None

        def run():
            try:
                self.outcome = operation(*arguments, **named)
            except Exception as error:  # pylint: disable=broad-except
                self.error = error

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def is_done(self):
        return not self.thread.is_alive()

    def result(self):
        self.thread.join(2 * WAIT)
        if self.thread.is_alive():
            raise TimeoutError
        if self.error is not None:
            raise self.error
        return self.outcome
