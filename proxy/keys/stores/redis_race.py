"""Asking several servers that all know the same, and taking the first answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

_T = TypeVar("_T")


async def first_answer(questions: Iterable[Awaitable[_T]]) -> _T:
    """Return the first answer; raise the last error where nobody has one.

    One after the other, a frozen server would use up the deadline of every question.
    """
    asked = [asyncio.ensure_future(one) for one in questions]  # noqa: TID251 - held here, and ended below
    try:
        for done in asyncio.as_completed(asked):
            try:
                return await done
            except Exception as error:  # noqa: BLE001 - another server may have an answer
                failed: Exception = error
        raise failed
    finally:
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
