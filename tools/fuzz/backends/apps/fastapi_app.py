# mypy: ignore-errors
# It runs on the system's Python, whose packages mypy does not see.
"""A FastAPI application that reports what it reads: `... PORT RECORD CONTRACT`.

It runs on the system's Python, where Debian puts FastAPI. Its model takes a member by its name or
by its alias, as models do that speak camel case outside and snake case inside.
"""

import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException

PORT, RECORD, CONTRACT = int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
app = FastAPI()


class User(BaseModel):
    card: Any = None
    phone: Any = None


class Meta(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    room_id: Any = None


class Message(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    conversation_id: Any = None
    room_id: Any = None
    content: Any = None
    subject: Any = None
    card: Any = None
    phone: Any = None
    iban: Any = None
    kind: Any = None
    message: Any = None
    attachment: Any = None
    user: User | None = None
    meta: Meta | None = None
    order: Any = None


def bound(body):
    try:
        found = Message.model_validate_json(body)
    except ValidationError:
        return {}
    return {
        name: value for name, value in found.model_dump(by_alias=True).items() if value is not None
    }


def document(body):
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


async def posted(request):
    try:
        form = await request.form()
        return {
            name: value
            if isinstance(value, str)
            else [value.filename, (await value.read()).decode("latin-1")]
            for name, value in form.items()
        }
    except (HTTPException, ValueError, KeyError, AssertionError):
        return {}


def dig(bag, name):
    """Return what stands under a name; `user.card` is a member of a member."""
    for one in name.split("."):
        if not hasattr(bag, "get"):
            return None
        bag = bag.get(one)
    return bag


def reading(route, idiom, bag, request, query):
    sources = {
        "json": bag,
        "query": query,
        "header": request.headers,
        "path": request.path_params,
        "": {},
    }
    values = {
        field: request.headers.get(field) if field.startswith("x-") else dig(bag, field)
        for field in route["fields"]
    }
    conversation = dig(sources[route["source"]], route["conversation"])
    return {"i": idiom, "c": conversation, "v": values, "w": bag.get(route["when"])}


def endpoint(route):
    async def report(request: Request) -> PlainTextResponse:
        body = await request.body()
        query = dict(request.query_params)
        form = await posted(request)
        merged = {**query, **form, **bound(body)}
        found = [
            reading(route, "bound", bound(body), request, query),
            reading(route, "json", document(body), request, query),
            reading(route, "form", form, request, query),
            reading(route, "merged", merged, request, merged),
        ]
        if "ndjson" in request.headers.get("content-type", ""):
            found += [
                reading(route, "records", bound(one), request, query) for one in body.splitlines()
            ]
        if route["fields"] == ["body"]:
            found.append(reading(route, "body", {"body": body.decode("latin-1")}, request, query))
        told = json.dumps({"h": route["name"], "r": found}, default=str) + "\n"
        with RECORD.open("a") as record:  # noqa: ASYNC230 - a line, to a file
            record.write(told)
        return PlainTextResponse(told)

    return report


for each in CONTRACT:
    app.add_api_route(each["path"], endpoint(each), methods=[each["method"]])
uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="error")
