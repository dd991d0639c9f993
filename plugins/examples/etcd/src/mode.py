"""The mode, independent of WebAssembly: discovers, announces, withdraws."""

from collections.abc import Callable
from dataclasses import dataclass

import members
import settings
from gateway import Gateway, LeaseGone, Send

# Renewals within the TTL of a lease, so that two may fail.
KEPT_ALIVE_IN_TTL = 3
# Lines that one call logs about invalid values.
COMPLAINTS_MAX = 8

Log = Callable[[str, str, dict[str, str]], None]
"""Level, message, fields."""


@dataclass(frozen=True)
class Member:
    """The local member."""

    cluster_name: str
    member_id: str
    addresses: list[str]
    port: int
    """0 if it accepts no connections."""
    attributes: list[tuple[str, str]]


@dataclass(frozen=True)
class Look:
    """The result of one call."""

    candidates: list[members.Candidate]
    invalid: list[str]
    """Keys with invalid values."""
    complete: bool
    again_ms: int


class Etcd:
    """One configured mode."""

    def __init__(
        self, argument: str, pairs: list[tuple[str, str]], me: Member, send: Send, log: Log
    ) -> None:
        """Raises `Misconfigured`."""
        self._settings, unknown = settings.read(argument, pairs, me.cluster_name)
        for key in unknown:
            log("warn", "unknown setting ignored", {"setting": key})
        self._gateway = Gateway(self._settings, send)
        self._me = me
        self._log = log
        self._key = self._settings.prefix + me.member_id
        self._lease: str | None = None
        self._complained: set[tuple[str, bytes]] = set()

    def look(self) -> Look:
        """Raises `Problem`."""
        pairs, more = self._gateway.below(self._settings.prefix)
        if self._lease is not None and all(key != self._key for key, _ in pairs) and not more:
            # The key was removed: the next announcement writes it again.
            self._log("warn", "the announcement was removed from etcd; announcing again", {"key": self._key})
            self._lease = None
        candidates, invalid = [], set()
        for key, value in pairs:
            try:
                candidates += members.read(value)
            except ValueError as why:
                invalid.add((key, value))
                if (key, value) not in self._complained and len(invalid) <= COMPLAINTS_MAX:
                    self._log("warn", "a key in etcd has an invalid value", {"key": key, "why": str(why)})
        self._complained = invalid
        keys = sorted(key for key, _ in invalid)
        return Look(candidates, keys, not more and not invalid, self._settings.look_again_ms)

    def announce(self) -> int | None:
        """Milliseconds until the next announcement; None if nothing is announced.

        Raises `Problem`.
        """
        me = self._me
        if not self._settings.announce or me.port == 0 or not me.addresses:
            return None
        if self._lease is not None:
            try:
                return again_ms(self._gateway.keep_alive(self._lease))
            except LeaseGone:
                self._log("warn", "the announcement expired; announcing again", {"key": self._key})
                self._lease = None
        lease, ttl_s = self._gateway.grant(self._settings.ttl_s)
        self._gateway.put(
            self._key, members.write(me.member_id, me.addresses, me.port, me.attributes), lease
        )
        self._lease = lease
        self._log("info", "announced in etcd", {"key": self._key, "ttl_s": str(ttl_s)})
        return again_ms(ttl_s)

    def withdraw(self) -> None:
        """Raises `Problem`."""
        lease, self._lease = self._lease, None
        if lease is not None:
            try:
                self._gateway.revoke(lease)
            except LeaseGone:
                pass


def again_ms(ttl_s: int) -> int:
    return ttl_s * 1_000 // KEPT_ALIVE_IN_TTL
