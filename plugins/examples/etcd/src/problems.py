"""Why a call failed, classified by how the host reacts.

Texts are for an operator. They start with the offending value.
"""


class Problem(Exception):
    """A problem, with a one-line text: what happened, where, what to do."""


class Misconfigured(Problem):
    """Only an operator can fix it."""


class Denied(Problem):
    """The host denied a request."""


class Temporary(Problem):
    """The failure may be temporary."""


class Failed(Problem):
    """Any other failure."""
