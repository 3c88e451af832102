# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201 - FastAPI takes annotations of what a route returns for a schema of it
# It runs on the system's Python, whose packages mypy does not see.
"""A message API of FastAPI with the routes of config/examples/clinic.yaml: `... PORT FOLDER`.

It runs on the system's Python, where Debian puts FastAPI. It keeps every message and file, and
compresses what it sends.
"""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Form, Request, UploadFile
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel
from starlette.middleware.gzip import GZipMiddleware

PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[2])
OLD, API = "/api/v1/messages", "/api/v1/enhanced-messages"
MESSAGES: list[dict[str, Any]] = []
FILES: list[tuple[Path, str]] = []

app = FastAPI()
app.add_middleware(GZipMiddleware, minimum_size=64)


class Message(BaseModel):
    """A message, as clients send it."""

    content: str
    subject: str | None = None
    receiver: str | None = None
    priority: int = 0
    conversationId: str | None = None  # noqa: N815 - the name in the JSON


class Edit(BaseModel):
    """A changed message."""

    content: str


@app.middleware("http")
async def journal(request: Request, call_next):
    """Write down what arrives, as a backend's debug log does."""
    body = await request.body()
    with (FOLDER / "journal.log").open("ab") as file:
        file.write(f"{request.method} {request.url}\n{request.headers}\n".encode() + body + b"\n")
    return await call_next(request)


def keep(message: dict[str, Any]) -> dict[str, Any]:
    """Store a message, and return the answer."""
    MESSAGES.append({"id": len(MESSAGES), **message})
    (FOLDER / "messages.json").write_text(json.dumps(MESSAGES), encoding="utf-8")
    return {"success": True, "data": MESSAGES[-1]}


@app.post(OLD, status_code=201)
async def send(message: Message):
    """Take a message."""
    return keep(message.model_dump())


@app.post(API + "/group", status_code=201)
async def group(message: Message):
    """Take a message to a group."""
    return keep(message.model_dump())


@app.put(API + "/{number}")
async def edit(number: int, change: Edit):
    """Replace the text of a message."""
    MESSAGES[number]["content"] = change.content
    return keep(MESSAGES[number])


@app.get(API + "/history")
async def history():
    """List all messages."""
    return {"messages": MESSAGES[::-1]}


@app.get(OLD + "/events")
async def events():
    """Send all messages as events, and end."""

    async def stream() -> AsyncIterator[str]:
        for one in MESSAGES:
            yield f"event: message\ndata: {json.dumps(one)}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.post(API + "/upload", status_code=201)
async def upload(files: list[UploadFile], note: Annotated[str, Form()] = ""):
    """Keep files under numbers; tell their names as they came."""
    told = []
    for one in files:
        number = len(FILES)
        place = FOLDER / f"file{number}"
        place.write_bytes(await one.read())
        FILES.append((place, one.content_type or "application/octet-stream"))
        told.append({"number": number, "name": one.filename})
    return keep({"note": note, "files": told})


@app.get(API + "/files/{number}")
async def download(number: int):
    """Send a file."""
    place, content_type = FILES[number]
    return FileResponse(place, media_type=content_type)


uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="debug")
