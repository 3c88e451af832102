"""Streams with the client of OpenAI for Python; prints what it was told as JSON.

Run by the Python of an environment that has it: BASE_URL CANARY MODEL...
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from typing import Any, Final

Client = Any  # the environment that checks types has no such client
openai: Final[Any] = importlib.import_module("openai")
TOOLS: Any = [{"type": "function", "function": {"name": "give", "parameters": {"type": "object"}}}]


class Told:
    """What a stream says, all of its deltas joined; `deltas` counts those with a text."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.arguments = ""
        self.reasons: list[str] = []
        self.usage: int | None = None
        self.deltas = 0

    def take(self, chunk: Any) -> None:  # noqa: ANN401 - the client's own type
        if chunk.usage is not None:
            self.usage = chunk.usage.total_tokens
        for choice in chunk.choices:
            if choice.delta.content is not None:
                self.deltas += bool(choice.delta.content)
                before = self.texts.get(choice.index, "")
                self.texts[choice.index] = before + choice.delta.content
            for call in choice.delta.tool_calls or ():
                self.arguments += call.function.arguments
            if choice.finish_reason is not None:
                self.reasons.append(choice.finish_reason)


def asked(canary: str, model: str, **more: object) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": f"be kind {canary}"},
        {"role": "assistant", "content": None, "tool_calls": [a_call(canary)]},
        {"role": "tool", "tool_call_id": "call-0", "content": canary},
        {"role": "user", "content": [{"type": "text", "text": f"ü {canary}"}]},
    ]
    return {"model": model, "messages": messages, "user": "room-1", **more}


def a_call(canary: str) -> dict[str, Any]:
    function = {"name": "give", "arguments": json.dumps({"to": canary})}
    return {"id": "call-0", "type": "function", "function": function}


def streams(client: Client, canary: str, model: str) -> dict[str, Any]:
    found = {}
    requests: dict[str, dict[str, Any]] = {
        "text": {"stream_options": {"include_usage": True}},
        "two": {"n": 2},
        "tools": {"tools": TOOLS},
    }
    for name, more in requests.items():
        told = Told()
        for chunk in client.chat.completions.create(**asked(canary, model, **more), stream=True):
            told.take(chunk)
        found[name] = vars(told)
    return found


async def later(base_url: str, canary: str, model: str) -> dict[str, Any]:
    told = Told()
    async with openai.AsyncOpenAI(base_url=base_url, api_key="k", max_retries=0) as client:
        stream = await client.chat.completions.create(**asked(canary, model), stream=True)
        async for chunk in stream:
            told.take(chunk)
    return vars(told)


def failure(client: Client) -> str:
    try:
        client.chat.completions.create(
            model="whole", user="room-1", messages=[{"role": "user", "content": "fail"}]
        )
    except openai.BadRequestError as error:
        return str(error.body["message"])
    raise AssertionError


def main(base_url: str, canary: str, *models: str) -> None:
    client = openai.OpenAI(base_url=base_url, api_key="k", max_retries=0, timeout=60)
    once = client.chat.completions.create(**asked(canary, "whole"))
    found: dict[str, Any] = {model: streams(client, canary, model) for model in models}
    found["async"] = asyncio.run(later(base_url, canary, models[0]))
    found["once"] = once.choices[0].message.content
    found["failure"] = failure(client)
    found["models"] = [one.id for one in client.models.list()]
    sys.stdout.write(json.dumps(found))


main(*sys.argv[1:])
