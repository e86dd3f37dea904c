"""The commands that a client gives to agents: how they are sent, and what answers become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tce import MultiCall
from tce.frame_host._msgpack import FormatError, unpack

from ._frame import Change, Crontab, ManagementMulti, Package
from ._version import version_text

SERVICE = "service"
CRONTAB = "crontab"


def packages_by_name(packages: list[Package]) -> dict[str, dict[str, Any]]:
    """The packages of an agent as kael shows them."""
    return {
        package.name: {
            "version": package.version,
            "path": package.path,
            "args": _arguments(package.args),
            "hash": package.hash,
            "state": package.state,
        }
        for package in packages
    }


def _arguments(packed: bytes) -> Any:
    if not packed:
        return {}
    try:
        return unpack(packed)
    except FormatError:
        return {}


def crontabs_by_name(crontabs: list[Crontab]) -> dict[str, dict[str, Any]]:
    """The crontabs of an agent as kael shows them; `status` is True where the jobs run."""
    return {
        crontab.name: {
            "path": crontab.path,
            "version": crontab.version,
            "status": crontab.active,
            "holder": crontab.holder,
            "epoch": crontab.epoch,
            "crontabs": [
                {
                    "time_str": job.time,
                    "command": job.command,
                    "last": job.lastTickMs / 1000 if job.lastTickMs else None,
                    "exit": job.lastExit if job.lastTickMs else None,
                    "next": job.nextTickMs / 1000 if job.nextTickMs else None,
                    "missed": job.missed,
                }
                for job in crontab.jobs
            ],
        }
        for crontab in crontabs
    }


def _same(value: Any) -> Any:
    return value


def _versions(
    agents: ManagementMulti,
    pkg_type: str | None = None,
    pkg: str | None = None,
    service: str | None = None,
) -> MultiCall[Any]:
    return agents.packages(pkg_type or "", pkg or service or "")


def _crontabs(agents: ManagementMulti, crontab: str | None = None) -> MultiCall[Any]:
    return agents.crontabs(crontab or "")


def _restart_services(agents: ManagementMulti, process_num: int | None = None) -> MultiCall[Any]:
    return agents.restart(SERVICE, process_num or 0)


def _restart_crontabs(agents: ManagementMulti) -> MultiCall[Any]:
    return agents.restart(CRONTAB, 0)


def _change(
    pkg: str, pkg_type: str, version: object, path: str, source: str | None, force: bool
) -> Change:
    return Change(pkg_type, pkg, version_text(version), source or "", path, force)


def _update(
    agents: ManagementMulti,
    pkg: str,
    pkg_type: str = SERVICE,
    version: object = None,
    source: str | None = None,
    force: bool = False,
) -> MultiCall[Any]:
    return agents.update(_change(pkg, pkg_type, version, "", source, force))


def _install(
    agents: ManagementMulti,
    pkg: str,
    path: str,
    pkg_type: str = SERVICE,
    version: object = None,
    source: str | None = None,
    force: bool = False,
) -> MultiCall[Any]:
    return agents.install(_change(pkg, pkg_type, version, path, source, force))


def _system(agents: ManagementMulti, command: str) -> MultiCall[Any]:
    return agents.system(command)


@dataclass(frozen=True)
class Command:
    """How a command is sent, and what an agent's answer becomes."""

    send: Callable[..., MultiCall[Any]]
    value: Callable[[Any], Any] = _same


COMMANDS = {
    "_get_pkg_version": Command(_versions, packages_by_name),
    "_get_crontab_status": Command(_crontabs, crontabs_by_name),
    "_restart_service": Command(_restart_services),
    "_restart_crontab": Command(_restart_crontabs),
    "_update_pkg": Command(_update),
    "_install_pkg": Command(_install),
    "system": Command(_system),
}
"""By kael's names."""
