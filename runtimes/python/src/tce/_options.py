"""The limits and settings of a communicator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

DEFAULT_TIMEOUT = 30.0
MAX_TIMEOUT = 0x7FFF_FFFF
"""Seconds of a call at most: its deadline has to fit its pair of the extra."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message may contain. Each limit is checked before memory is allocated."""

    max_frame: int = 4 << 20
    """Bytes of a frame, sent or received."""
    max_inflated: int = 16 << 20
    """Bytes of an inflated payload."""
    max_extra_entries: int = 1024
    max_extra_bytes: int = 64 << 10
    max_depth: int = 64
    """Levels of sequences and dictionaries within each other."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a connection may use. Times are in seconds."""

    connect_time: float = 5.0
    """For an address to answer, handshakes included."""
    frame_time: float = 30.0
    """For a frame that has begun to end."""
    stall_time: float = 30.0
    """For a peer that reads nothing, before the connection ends."""
    keepalive_time: int = 60
    """Silence after which the system probes the peer; 0 switches it off."""
    ping_interval: float = 25.0
    """Between the pings of a WebSocket on which nothing else is sent; 0 for none."""
    send_buffer: int = 1 << 20
    """Bytes that wait to be sent; then callers wait."""
    served_calls: int = 2048
    """Calls of the peer that are served at once; then reading pauses."""
    calls_in_flight: int = 1 << 16
    """Calls that wait for their RETURN; then callers wait."""
    connections: int = 1 << 14
    """Connections of an adapter; further ones are refused."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Certificates and keys in PEM files."""

    ca_file: str | None = None
    """For clients: the authorities that are trusted; by default those of the system."""
    cert_file: str | None = None
    """For adapters: the certificate chain. For clients: their own certificate, if asked."""
    key_file: str | None = None


Token = str | Callable[[], "str | Awaitable[str]"]
"""A token, or a function that is asked for one at each connect and before a login expires."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call that has ended, for metrics and traces."""

    operation: str
    """As the IDL spells it, `test::Server::echo`, or its indices if no servant has it."""
    peer: str
    is_served: bool
    """Whether this side has served it; otherwise it has called."""
    is_oneway: bool
    seconds: float
    """From the call to its end. A oneway call of this side ends when it is sent."""
    code: int | None
    """0 for success, otherwise that of the error; `None` if the caller has abandoned the call, or
    its parameters could not be marshalled."""


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of a communicator."""

    timeout: float = DEFAULT_TIMEOUT
    """Seconds until a twoway call fails with TIMEOUT, unless its proxy or the call says other."""
    deadline_tolerance: float = 1.0
    """How long after its deadline a CALL is still served, in seconds: clocks differ."""
    limits: Limits = field(default_factory=Limits)
    connection: ConnectionLimits = field(default_factory=ConnectionLimits)
    token: Token | None = None
    """The credential by which a gateway identifies the user."""
    device_id: str | None = None
    """Sent together with the token."""
    resume: bool = False
    """Whether a gateway keeps pushes while the connection is lost and sends them afterwards."""
    tls: TlsFiles = field(default_factory=TlsFiles)
    names_broker_user: bool = False
    """Whether each message to a broker names the user who has logged in there. The broker refuses
    another name, so that servants can rely on it."""
    on_call: Callable[[CallRecord], object] | None = None
    """Called at the end of each call, in the event loop: it must not block."""
    describes: bool = True
    """Whether adapters tell callers the IDL of their servants."""
