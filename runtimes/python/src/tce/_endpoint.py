"""Endpoints in text form: `tcp://host:port`, `wss://host:port/path`, `mq:name`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_SCHEMES = ("tcp", "ssl", "ws", "wss")
_FORM = (
    "write it like tcp://localhost:12002, ssl://example.org:12003, ws://localhost:12004, "
    "wss://example.org:12005/path or mq:mq_server"
)


class EndpointError(ValueError):
    """A text that is not an endpoint."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint to connect to or to listen on."""

    scheme: str
    """`tcp`, `ssl`, `ws`, `wss` or `mq`."""
    host: str
    """IPv6 without brackets. For `mq` the names of endpoints in `config.yml`."""
    port: int = 0
    """0 to listen on a free port."""
    path: str = ""
    """For WebSocket: the path, with its slash."""
    compress: bool = False
    """Whether sent messages are compressed; never over WebSocket."""

    @property
    def is_tls(self) -> bool:
        return self.scheme in ("ssl", "wss")

    @property
    def is_websocket(self) -> bool:
        return self.scheme in ("ws", "wss")

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        if self.scheme == "mq":
            return f"mq:{self.host}"
        compress = "?compress=1" if self.compress else ""
        return f"{self.scheme}://{self.authority}{self.path}{compress}"

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Raises `EndpointError`."""
        try:
            return _parse(text)
        except ValueError as error:
            raise EndpointError(f"`{text}` is not an endpoint: {error}; {_FORM}") from None


def _parse(text: str) -> Endpoint:
    if text.startswith("mq:"):
        names = text[len("mq:") :]
        if not all(name.strip() for name in names.split(",")):
            raise ValueError("it has an empty name")
        return Endpoint("mq", names)
    scheme, found, rest = text.partition("://")
    if not found:
        raise ValueError("it has no `://`")
    if scheme not in _SCHEMES:
        raise ValueError(f"`{scheme}` is not one of tcp, ssl, ws, wss and mq")
    address, _, query = rest.partition("?")
    authority, slash, path = address.partition("/")
    path = slash + path
    if path and scheme not in ("ws", "wss"):
        raise ValueError(f"it has the path `{path}`, which only ws and wss may have")
    host, port = _split(authority, scheme)
    compress = False
    for option in filter(None, query.split("&")):
        if option not in ("compress=1", "compress=0"):
            raise ValueError(f"`{option}` is not an option; the only one is `compress=1`")
        compress = option == "compress=1"
    return Endpoint(scheme, host, port, path, compress)


def _split(authority: str, scheme: str) -> tuple[str, int]:
    if authority.startswith("["):
        host, _, port = authority[1:].partition("]:")
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"`[{host}]` is not an IPv6 address") from None
    else:
        host, _, port = authority.rpartition(":")
        if ":" in host:
            raise ValueError(f"an IPv6 address needs brackets: {scheme}://[{host}]:{port}")
        check_host(host)
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"`{port}` is not a port")
    return host, int(port)


def check_host(host: str) -> None:
    """Raises `ValueError` unless the text is a host name or an address."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError(f"`{host}` is not an IPv4 address") from None
    elif ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"`{host}` is not an IPv6 address") from None
        address, _, port = host.rpartition(":")
        if port.isdecimal() and _is_ipv6(address):
            raise ValueError(f"`{host}` may be an address with a port")
    elif not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", host):
        raise ValueError(f"`{host}` is not a host name")


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
