"""What rules of a release sealed, the same rules open today, whatever their names and bodies."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from proxy.keys.stores import MemoryStore
from tests.archive.opened import Archive
from tests.archive.passing import Message, Passing
from tests.archive.people import Process


async def test_every_answer_opens_as_it_was_sent(archive: Archive) -> None:
    said = archive.items["messages"]
    process = Process(archive.keyring(), MemoryStore(time.monotonic), float(archive.made))
    passing = Passing.through(archive.folder / said["rules"], process.durable, archive.made)
    items = archive.json(said["messages"])
    assert len({item["request"]["target"].split("/")[1] for item in items}) > 15
    for item in items:
        request, sealed = (Message.from_json(item[name]) for name in ("request", "sealed"))
        assert request.body != sealed.body
        opened = await passing.answer(request, sealed)
        assert (opened.body, opened.media_type) == (request.body, request.media_type)


async def test_tokens_open_within_other_text(archive: Archive) -> None:
    said = archive.items["messages"]
    process = Process(archive.keyring(), MemoryStore(time.monotonic), float(archive.made))
    passing = Passing.through(archive.folder / said["rules"], process.durable, archive.made)
    found = 0
    for item in archive.json(said["messages"]):
        request, sealed = (Message.from_json(item[name]) for name in ("request", "sealed"))
        if request.target.startswith("/everywhere/"):
            body = json.loads(sealed.body)
            quoted = json.dumps({"quoted": f"Re: {body['content']} and {body['note']}"}).encode()
            opened = await passing.answer(request, replace(sealed, body=quoted))
            assert json.loads(opened.body) == {"quoted": "Re: Grüße 🌍 and short"}
            found += 1
    assert found


async def test_a_receiver_opens_requests_of_a_joined_conversation(archive: Archive) -> None:
    said = archive.items["messages"]
    process = Process(archive.keyring(), MemoryStore(time.monotonic), float(archive.made))
    passing = Passing.through(archive.folder / said["rules"], process.durable, archive.made)
    found = 0
    for item in archive.json(said["messages"]):
        target = item["request"]["target"]
        if target.startswith("/pair/"):
            sealed = Message.from_json(
                {**item["sealed"], "target": target.replace("pair", "received")}
            )
            opened = await passing.request(sealed)
            assert b'"content": "Gr\xc3\xbc\xc3\x9fe' in opened.body
            found += 1
    assert found
