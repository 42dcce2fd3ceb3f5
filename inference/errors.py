"""Errors of cells and of the gateway, sorted by what to do next.

InferenceError
├─ CellRefusedError      certain: the configuration was not accepted; a person must act
├─ CellSilentError       uncertain: it may have been accepted; a later reading shows it
└─ GatewayError          the routing table in force stays in force
"""


class InferenceError(Exception):
    """A call to a cell or to the gateway failed."""


class CellRefusedError(InferenceError):
    """The cell refused."""


class CellSilentError(InferenceError):
    """The cell did not answer."""


class GatewayError(InferenceError):
    """The gateway did not accept a table; the last good one stays in force."""
