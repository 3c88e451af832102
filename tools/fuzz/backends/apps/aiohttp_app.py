"""An aiohttp server that reports what it reads: `... PORT RECORD CONTRACT`.

Beside aiohttp's own readings there is one that is a model, and named so: ASP.NET Core, which is not
to be had here. Its documentation says that JSON members, query and form names are compared without
regard to case, and that the last of several members wins.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aiohttp import web

PORT, RECORD, CONTRACT = int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
Pairs = list[tuple[str, Any]]


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, web.FileField):
        return [value.filename, value.file.read().decode("latin-1")]
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("latin-1")
    return value


async def form(request: web.Request) -> Pairs:
    try:
        return [(name, plain(value)) for name, value in (await request.post()).items()]
    except (ValueError, LookupError, web.HTTPException, AssertionError):
        return []


def document(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def pairs(body: bytes) -> Pairs:
    """Return the members of an object as they stand, the same name perhaps twice."""
    try:
        found = json.loads(body, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return []
    return list(found) if isinstance(found, tuple) else []


def caseless(found: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {
        name.casefold(): caseless(value) if isinstance(value, tuple) else value
        for name, value in found
    }


def dig(bag: Any, name: str) -> Any:
    """Return what stands under a name; `user.card` is a member of a member."""
    for one in name.split("."):
        if not hasattr(bag, "get"):
            return None
        bag = bag.get(one)
    return bag


def first(found: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the first value of each name, as a MultiDict does."""
    bag: dict[str, Any] = {}
    for name, value in found:
        bag.setdefault(name, value)
    return bag


class Handler:
    def __init__(self, route: dict[str, Any]) -> None:
        self.route = route

    def reading(
        self, idiom: str, bag: dict[str, Any], request: web.Request, query: dict[str, Any]
    ) -> dict[str, Any]:
        """Return what one kind of program reads; a model folds the names that it asks for."""
        route = self.route
        fold = str.casefold if idiom.startswith("model") else str
        name = route["conversation"]
        sources: dict[str, Any] = {"json": bag, "query": query, "": {}}
        sources |= {"header": request.headers, "path": request.match_info}
        asked = fold(name) if route["source"] in {"json", "query"} else name
        conversation = dig(sources[route["source"]], asked)
        values = {
            field: request.headers.get(field) if field.startswith("x-") else dig(bag, fold(field))
            for field in route["fields"]
        }
        return {"i": idiom, "c": conversation, "v": values, "w": bag.get(fold(route["when"]))}

    async def __call__(self, request: web.Request) -> web.Response:
        query = first(request.query.items())
        posted = await form(request)  # before the body: parts are read from the stream
        body = await request.read()
        jsons = document(body)
        whole = jsons or first(posted)
        folded = caseless([*request.query.items()])
        either = caseless([*request.query.items(), *(pairs(body) or posted)])
        found = [
            self.reading("json", jsons, request, query),
            self.reading("post", first(posted), request, query),
            self.reading("merged", {**query, **whole}, request, {**query, **whole}),
            self.reading("merged query last", {**whole, **query}, request, {**whole, **query}),
            self.reading("model of .NET", either, request, folded),
        ]
        if "ndjson" in request.content_type:
            lines = [document(line) for line in body.split(b"\n") if line.strip()]
            found += [self.reading("records", line, request, query) for line in lines]
        if self.route["fields"] == ["body"]:
            found.append(self.reading("body", {"body": plain(body)}, request, query))
        told = json.dumps({"h": self.route["name"], "r": found}, default=str) + "\n"
        with RECORD.open("a") as record:  # noqa: ASYNC230 - a line, to a file
            record.write(told)
        return web.Response(text=told)


def main() -> None:
    tidy = web.normalize_path_middleware(append_slash=False, remove_slash=True, merge_slashes=True)
    app = web.Application(middlewares=[tidy])
    for route in CONTRACT:
        app.router.add_route(route["method"], route["path"], Handler(route))
    web.run_app(app, host="127.0.0.1", port=PORT, print=None, access_log=None)


main()
