"""The buttons of the demo's status page: each plays chapters of the story again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from ..admin import strict_reader
from ..admin.operation import Endpoint, Operation, Success, json_answer
from ..admin.strict_reader import Malformed
from ..keys.operations import schemas
from . import story
from .screen import Screen
from .stage import Stage

MOST_CHARACTERS: Final = 200
_MEMBERS: Final[dict[str, dict[str, Any]]] = {
    "act": {"type": "string"},
    "text": {"type": "string", "maxLength": MOST_CHARACTERS},
}


@dataclass(frozen=True, slots=True)
class Act:
    """A button: its name, its label, what it does, and how it is played with the reader's text."""

    name: str
    label: str
    meaning: str
    play: Callable[[Stage, Screen, str], Awaitable[None]]


async def _send(scene: Stage, screen: Screen, text: str) -> None:
    await story.send_and_read(scene, screen, text or story.MESSAGE)


async def _tamper(scene: Stage, screen: Screen, _: str) -> None:
    await story.tamper(scene, screen)


async def _move(scene: Stage, screen: Screen, _: str) -> None:
    await story.move(scene, screen)


async def _replay(scene: Stage, screen: Screen, _: str) -> None:
    scene.backend.rows.clear()
    await story.play(scene, screen)


ACTS: Final = {
    one.name: one
    for one in (
        Act("send", "Send", "Ada sends the message, and a reader requests it.", _send),
        Act("tamper", "Tamper", "One character of the stored token is changed.", _tamper),
        Act("move", "Move", "The stored token is copied to another conversation.", _move),
        Act("replay", "Replay the story", "An empty chat, and chapters 1 to 5.", _replay),
    )
}
PLAY: Final = Operation(
    "demo",
    "POST",
    "/demo",
    None,
    "Play a chapter of the demo again.",
    (Success("What holds, and what does not.", schemas.anything()),),
    body=schemas.record(_MEMBERS, ("text",)),
)


class Buttons:
    """Plays acts on a stage, one at a time."""

    def __init__(self, scene: Stage) -> None:
        self._scene = scene
        self._playing = asyncio.Lock()

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoint."""
        return [Endpoint(PLAY, self._play)]

    def described(self) -> list[dict[str, str]]:
        """Return the buttons for the page."""
        return [
            {"name": one.name, "label": one.label, "meaning": one.meaning} for one in ACTS.values()
        ]

    async def _play(self, request: web.Request) -> web.Response:
        members = await strict_reader.body(request, _MEMBERS)
        act = ACTS.get(strict_reader.member(members, "act", _MEMBERS["act"], required=True))
        text = strict_reader.member(members, "text", _MEMBERS["text"]) or ""
        if act is None or len(text) > MOST_CHARACTERS:
            raise Malformed("There is no such act, or the text is too long.")
        screen = Screen(lambda _: None)
        async with self._playing:
            if not self._scene.backend.rows and act.name != "replay":
                await _send(self._scene, Screen(lambda _: None), "")
            await act.play(self._scene, screen, text)
        told = {"claims": [[holds, claim] for claim, holds in screen.claims]}
        return json_answer(told)
