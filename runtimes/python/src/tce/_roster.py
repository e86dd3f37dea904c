"""The programs behind a topic: which of them a CALL is for, and whom each of them knows.

Each member announces itself to all others by the topic itself. So its own announcement
comes back to it, which shows that the topic carries messages in both directions;
without that, its roster may lack members that are there.
"""

from __future__ import annotations

import asyncio

from . import _message
from ._message import Extra

ANNOUNCE_PERIOD = 2.0
"""Seconds between two announcements of a member."""
FORGET_TIME = 6.0
"""Seconds after its last announcement when a member is forgotten."""
MAX_ID_SIZE = 128
MAX_MEMBERS = 10_000
MAX_LATER = 256
"""RETURNs at once whose roster follows."""
MAX_ROSTER_SIZE = 32 << 10
"""Bytes of the largest roster that a RETURN carries: half of what extra may have."""


def is_member_id(text: str) -> bool:
    """Whether a text can be the id of a member."""
    is_graphic = all("!" <= char <= "~" for char in text)
    return 1 <= len(text) <= MAX_ID_SIZE and is_graphic and "," not in text


def wrong_member_id(text: str) -> str:
    """Why a text can't be one."""
    return (
        f"{text!r} can't be the id of a member: write 1 to {MAX_ID_SIZE} printable ASCII "
        "characters without space and comma"
    )


class Roster:
    """The members of a topic, as one of them knows them. Times are those of the loop."""

    def __init__(self, member: str) -> None:
        self.id = member
        self.newcomer = asyncio.Event()
        """A member has come that does not know this one yet."""
        self.later = 0
        """RETURNs whose roster follows."""
        self._heard: dict[str, float] = {}
        self._complete_at: float | None = None
        """One period after this member has heard itself: every other one has announced itself."""

    def hello(self, member: str, now: float) -> None:
        """A member has announced itself."""
        if not is_member_id(member):
            return
        self._forget_silent(now)
        is_known = member in self._heard
        if not is_known and len(self._heard) >= MAX_MEMBERS:
            return
        self._heard[member] = now
        if is_known:
            return
        if member == self.id:
            self._complete_at = now + ANNOUNCE_PERIOD
        else:
            self.newcomer.set()

    def bye(self, member: str) -> None:
        """A member has left."""
        self._heard.pop(member, None)

    def complete(self, now: float) -> str | None:
        """All members, separated by commas.

        `None` while some may be missing, or if they are too many for a RETURN.
        """
        self._forget_silent(now)
        if self.id not in self._heard or self._complete_at is None or now < self._complete_at:
            return None
        ids = ",".join(sorted(self._heard))
        return ids if len(ids) < MAX_ROSTER_SIZE else None

    def complete_from(self, now: float) -> float | None:
        """When the roster will be complete; `None` if it is."""
        self._forget_silent(now)
        if self.id not in self._heard or self._complete_at is None:
            # Its own announcement is on its way.
            return now + 2 * ANNOUNCE_PERIOD
        return self._complete_at if self._complete_at > now else None

    def is_addressed(self, extra: Extra) -> bool:
        """Whether a CALL with this extra is for this member."""
        to, not_to = extra.get(_message.TO), extra.get(_message.NOT_TO)
        return (to is None or self.id in to.split(",")) and (
            not_to is None or self.id not in not_to.split(",")
        )

    def _forget_silent(self, now: float) -> None:
        silent = [member for member, last in self._heard.items() if now - last >= FORGET_TIME]
        for member in silent:
            del self._heard[member]
