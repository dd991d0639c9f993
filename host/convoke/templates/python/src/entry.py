"""What the host calls: convoke:discovery/strategy."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.log import Level, log
from wit_world.imports.types import Candidate, LocalMember, ModeConfig, Problem_Misconfigured, Snapshot

import places

# The list never changes: another look is for a host that lost the last one.
LOOK_AGAIN_MS = 60_000

# One instance serves one configured mode. The host calls `configure` first.
found: list[places.Place] = []


class Strategy(exports.Strategy):
    def configure(self, config: ModeConfig, me: LocalMember) -> None:
        for key, _ in config.settings:
            log(Level.WARN, "unknown setting ignored", [("setting", key)])
        try:
            found[:] = places.read(config.argument)
        except ValueError as wrong:
            # Anything but an Err ends the instance.
            raise Err(Problem_Misconfigured(str(wrong))) from None

    def discover(self) -> Snapshot:
        candidates = [Candidate(place.address, place.port, []) for place in found]
        return Snapshot(candidates, complete=False, look_again_ms=LOOK_AGAIN_MS)
