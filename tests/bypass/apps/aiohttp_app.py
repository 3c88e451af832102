"""An aiohttp server that tidies paths up, as its documentation shows: `... PORT RECORD`."""

from __future__ import annotations

import sys
from pathlib import Path

from aiohttp import web


def write(line: str) -> None:
    with Path(sys.argv[2]).open("a") as record:
        record.write(line)


async def pay(request: web.Request) -> web.Response:
    body = await request.read()
    write(request.raw_path.encode().hex() + " " + body.hex() + "\n")
    return web.Response(text="paid")


tidy = web.normalize_path_middleware(append_slash=False, remove_slash=True, merge_slashes=True)
app = web.Application(middlewares=[tidy])
app.router.add_post("/api/pay", pay)
app.router.add_post("/api/pay{rest:[;/].*}", pay)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
