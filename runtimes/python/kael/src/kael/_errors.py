"""What can go wrong, as programs catch it."""

from __future__ import annotations


class FrameError(Exception):
    """A call or a command failed."""


class RemoteError(FrameError):
    """The function of a service has raised an exception."""

    def __init__(self, text: str) -> None:
        head, _, self.traceback = text.partition("\n")
        """Where it was raised, if its agent has told."""
        kind, _, message = head.partition(": ")
        self.type: str = kind
        """The class of the exception, `ZeroDivisionError`."""
        self.message: str = message
        super().__init__(head)


class UnknownService(FrameError, AttributeError):
    """No agent of the namespace hosts the service, or it has no such function."""


class NoAgent(FrameError):
    """There is no agent in the namespace."""
