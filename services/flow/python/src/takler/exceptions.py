"""Failures, under Takler's names."""

from __future__ import annotations

__all__ = [
    "ClientConnectionError",
    "ExpressionSyntaxError",
    "FlowStateError",
    "InvalidNodePathError",
    "InvalidRequestError",
    "JobSubmissionError",
    "NodeNotFoundError",
    "NodeTypeError",
    "PermissionDeniedError",
    "ServerResponseError",
    "TaklerError",
    "TransportError",
    "UnsupportedValueError",
    "ZombieError",
]


class TaklerError(Exception):
    """Any failure."""


class InvalidRequestError(TaklerError, ValueError):
    """The request makes no sense."""


class NodeNotFoundError(InvalidRequestError):
    """There is no such node."""


class InvalidNodePathError(InvalidRequestError):
    """The path is malformed."""


class NodeTypeError(InvalidRequestError):
    """The command is not for a node of this kind."""


class UnsupportedValueError(InvalidRequestError):
    """The value is not possible."""


class FlowStateError(InvalidRequestError):
    """Not in this state of the nodes."""


class ExpressionSyntaxError(TaklerError, ValueError):
    """The expression can't be understood."""


class JobSubmissionError(TaklerError):
    """The job can't be made or started."""


class ZombieError(TaklerError):
    """The call is not of the present job of the task."""


class TransportError(TaklerError):
    """The call has failed, and may have been executed."""


class ClientConnectionError(TransportError):
    """The server was not reached in time."""


class ServerResponseError(TaklerError):
    """The server answers a question with an error."""


class PermissionDeniedError(TaklerError):
    """The user may not do this."""


BY_CODE: dict[int, type[TaklerError]] = {
    10: NodeNotFoundError,
    11: InvalidNodePathError,
    12: NodeTypeError,
    13: UnsupportedValueError,
    14: FlowStateError,
    15: InvalidRequestError,
    20: ExpressionSyntaxError,
    30: JobSubmissionError,
    31: ZombieError,
    43: PermissionDeniedError,
}
"""The exception of a code of the server; any other code is a `TaklerError`."""
