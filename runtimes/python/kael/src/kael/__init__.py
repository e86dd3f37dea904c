"""kael's work frame on agents of `tce-frame`: see `kael.work_frame`."""

from ._errors import FrameError, NoAgent, RemoteError, UnknownService

__all__ = ["FrameError", "NoAgent", "RemoteError", "UnknownService"]
