"""Why a look fails, sorted by what the host does about it.

Texts are for an operator. They start with the offending value.
"""


class Problem(Exception):
    """One line: what, where, what to do."""


class Misconfigured(Problem):
    """Only an operator can mend it."""


class Denied(Problem):
    """The host, or etcd, refuses."""


class Temporary(Problem):
    """It may pass."""


class Failed(Problem):
    """Anything else."""
