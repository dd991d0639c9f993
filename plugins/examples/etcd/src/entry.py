"""The functions that the host calls: convoke:discovery/strategy and announcer."""

import functools
from collections.abc import Callable
from typing import Any

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import convoke_discovery_types as types
from wit_world.imports import log as host_log

import problems
import transport
from mode import Etcd, Member

CASES = {
    problems.Misconfigured: types.Problem_Misconfigured,
    problems.Denied: types.Problem_Denied,
    problems.Temporary: types.Problem_Temporary,
    problems.Failed: types.Problem_Failed,
}

etcd: Etcd


def reporting(call: Callable[..., Any]) -> Callable[..., Any]:
    """Converts exceptions to problems; any other exception would end the instance."""

    @functools.wraps(call)
    def reported(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        except problems.Problem as problem:
            raise Err(CASES[type(problem)](str(problem))) from None
        except Exception as error:
            raise Err(types.Problem_Failed(f"{type(error).__name__}: {error}")) from None

    return reported


def log(level: str, message: str, fields: dict[str, str]) -> None:
    host_log.log(host_log.Level[level.upper()], message, list(fields.items()))


class Strategy(exports.Strategy):
    @reporting
    def configure(self, config: types.ModeConfig, me: types.LocalMember) -> None:
        global etcd
        member = Member(me.cluster_name, me.member_id, me.addresses, me.port, me.attributes)
        etcd = Etcd(config.argument, config.settings, member, transport.send, log)

    @reporting
    def discover(self) -> types.Snapshot:
        look = etcd.look()
        candidates = [
            types.Candidate(candidate.address, candidate.port, list(candidate.attributes.items()))
            for candidate in look.candidates
        ]
        # The host drops invalid addresses, and treats a result without valid ones as a failure.
        candidates += [types.Candidate(key, None, []) for key in look.invalid]
        return types.Snapshot(candidates, look.complete, look.again_ms)


class Announcer(exports.Announcer):
    @reporting
    def announce(self) -> int | None:
        return etcd.announce()

    @reporting
    def withdraw(self) -> None:
        etcd.withdraw()
