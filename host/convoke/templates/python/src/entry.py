"""The functions that the host calls: convoke:discovery/strategy."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.log import Level, log
from wit_world.imports.types import Candidate, LocalMember, ModeConfig, Problem_Misconfigured, Snapshot

import endpoints

# The list is constant. The interval only matters to a host that has lost the previous result.
LOOK_AGAIN_MS = 60_000

# One instance serves one configured mode. The host calls `configure` first.
found: list[endpoints.Endpoint] = []


class Strategy(exports.Strategy):
    def configure(self, config: ModeConfig, me: LocalMember) -> None:
        for key, _ in config.settings:
            log(Level.WARN, "unknown setting ignored", [("setting", key)])
        try:
            found[:] = endpoints.parse(config.argument)
        except ValueError as error:
            # Any exception other than Err ends the instance.
            raise Err(Problem_Misconfigured(str(error))) from None

    def discover(self) -> Snapshot:
        candidates = [Candidate(endpoint.address, endpoint.port, []) for endpoint in found]
        return Snapshot(candidates, complete=False, look_again_ms=LOOK_AGAIN_MS)
