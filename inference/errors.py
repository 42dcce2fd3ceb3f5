"""What a cell or the gateway may answer, sorted by what to do next.

InferenceError
├─ CellRefusedError      certain: the configuration was not taken; tell a person
├─ CellSilentError       uncertain: it may have been taken; only a later look can tell
└─ GatewayError          the routing table in force stays in force
"""


class InferenceError(Exception):
    """A cell or the gateway did not do what was asked."""


class CellRefusedError(InferenceError):
    """The cell said no."""


class CellSilentError(InferenceError):
    """The cell did not answer."""


class GatewayError(InferenceError):
    """The gateway did not take a table; the last good one stays in force."""
