"""Copies are concluded once their message is over, also where its client has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ..message_record import MessageRecord
from ..policy import COPIES_SECONDS, MOST_CUT

if TYPE_CHECKING:  # imported where rules observe, or messages are looked at
    from .copies import Copies


Copied: TypeAlias = "list[Copies]"
"""The copies that are made of a message: none yet, or one."""


class Conclusions:
    """Concludes messages: looks at what was copied of them, and then reports them.

    A client that leaves does not end that.
    """

    __slots__ = ("_number", "_report")

    def __init__(self, report: Callable[[Sequence[MessageRecord]], None]) -> None:
        self._report = report
        self._number = 0

    async def conclude(self, copied: Copied, record: MessageRecord, *, cut: bool) -> None:
        """Look at what was copied, unless the message was refused as it is; report it at last.

        `cut` says that it came to no regular end. A task that is cancelled meanwhile stays up to
        `COPIES_SECONDS` seconds; cancelled once more, it ends at once.
        """
        try:
            for one in copied if record.event != "message.refused" else ():
                if cut and self._number >= MOST_CUT:
                    one.give_up()
                else:
                    await self._look(one, cut=cut)
        finally:
            self._report((record,))

    async def _look(self, copies: Copies, *, cut: bool) -> None:
        self._number += 1
        trial = asyncio.get_running_loop().create_task(copies.conclude(cut=cut))
        try:
            if not cut:
                await asyncio.shield(trial)
        finally:
            try:
                if not trial.done():
                    await asyncio.wait({trial}, timeout=COPIES_SECONDS)
            finally:
                self._number -= 1
                trial.cancel()
                if not trial.done() or trial.cancelled() or trial.exception() is not None:
                    copies.give_up()
