"""The chapter on searches: the backend finds a word that it never gets."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .screen import Screen, pretty, search
from .stage import Stage, stage
from .story import MESSAGE

RULES: Final = """\
    defaults:
      tenant: const:clinic
    rules:
      - name: send
        match: POST /api/messages
        conversation: $.conversationId
        request: {encrypt: [{select: $.content, index: behind}], plain: $.from}
      - name: search
        match: GET /api/conversations/{id}/messages
        conversation: path:id
        request: {search: [{select: 'query:q', field: content, match: words}]}
        response:
          decrypt: $.messages.*.content
          keep: {items: $.messages, matching: q}
fields: {content: {index: {words: {skip: [common-en]}}}}
"""
_WORD: Final = "penicillin"


async def play(folder: Path, screen: Screen, *, rules: str = RULES) -> None:
    """Play the chapter on a stage of its own."""
    screen.chapter(
        "11. A search",
        "Tags stand behind each stored token: short texts, made of its words under a key that the"
        " backend does not have. A search sends a tag in place of the word, and the backend looks"
        " for it as for any text.",
    )
    async with stage(folder, rules=rules) as scene:
        for text in (MESSAGE, "Bed 7 is free", "No allergy to penicillin"):
            await scene.send("ward-7", text)
        one = await scene.read("ward-7", q=_WORD)
        two = await scene.read("ward-7", q=f"{_WORD} confirmed")
        asked = scene.backend.asked
        screen.side_by_side(
            {
                "the search": pretty(_WORD),
                "the backend gets": pretty(asked[0]),
                "the backend holds": pretty(
                    [_behind(row["content"]) for row in scene.backend.rows]
                ),
                "the reader gets": pretty(_contents(one.json)),
            }
        )
        found = [MESSAGE, "No allergy to penicillin"]
        screen.claim(_contents(one.json) == found, "what has the word is found, whatever its case")
        screen.claim(_contents(two.json) == [MESSAGE], "of two words, each must be there")
        screen.claim(asked[0] == asked[1] != _WORD, "the backend gets one tag, and no word")
        await _refusal(scene, screen)
        places = await scene.places() | {"the searches": "\n".join(asked).encode()}
        screen.claim(not search(_WORD, places), "the word is found nowhere outside")


async def _refusal(scene: Stage, screen: Screen) -> None:
    answer = await scene.read("ward-7", q="penic*")
    screen.refusal(answer.status, answer.body)
    screen.claim(answer.code == "search-not-supported", "a part of a word is refused, not ignored")


def _behind(text: str) -> str:
    token, between, tags = text.partition("~")
    return f"{token[:12]}…{between}{tags}"


def _contents(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    return [one["content"] for one in answer.get("messages", ())]
