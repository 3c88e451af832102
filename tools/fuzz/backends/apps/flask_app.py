"""A Flask app on Werkzeug's server that reports what it reads: `... PORT RECORD CONTRACT`.

JSON is read whatever the type says (`force=True`), and values come from query, form and files
together, as `request.values` and a CombinedMultiDict give them.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from werkzeug.datastructures import CombinedMultiDict, FileStorage
from werkzeug.serving import WSGIRequestHandler

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PORT, RECORD, CONTRACT = int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
app = Flask(__name__)


class Override:
    """The snippet of Flask's own documentation."""

    def __init__(self, inner: WSGIApplication) -> None:
        self.inner = inner

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", environ["REQUEST_METHOD"])
        environ["REQUEST_METHOD"] = str(method).upper()
        return self.inner(environ, start_response)


def plain(value: object) -> object:
    if isinstance(value, FileStorage):
        return [value.filename, value.stream.read().decode("latin-1")]
    return value


def dig(bag: Any, name: str) -> Any:
    """Return what stands under a name; `user.card` is a member of a member."""
    for one in name.split("."):
        if not hasattr(bag, "get"):
            return None
        bag = bag.get(one)
    return bag


def reading(
    route: dict[str, Any], idiom: str, bag: Any, path: dict[str, str], query: Any
) -> dict[str, Any]:
    name = route["conversation"]
    sources = {"json": bag, "query": query, "header": request.headers, "path": path, "": {}}
    conversation = dig(sources[route["source"]], name)
    values = {
        field: request.headers.get(field) if field.startswith("x-") else plain(dig(bag, field))
        for field in route["fields"]
    }
    return {"i": idiom, "c": conversation, "v": values, "w": bag.get(route["when"])}


def records(body: bytes) -> list[dict[str, Any]]:
    found = []
    for line in body.splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict):
            found.append(one)
    return found


def handler(route: dict[str, Any]) -> Any:
    def report(**path: str) -> Response:
        body = request.get_data()
        found = request.get_json(force=True, silent=True)
        jsons = found if isinstance(found, dict) else {}
        together: list[Any] = [request.args, request.form, request.files]
        everything: Any = CombinedMultiDict(together)
        either = jsons or request.form
        merged = {**request.args, **either}
        readings = [
            reading(route, "json", jsons, path, request.args),
            reading(route, "form", request.form, path, request.args),
            reading(route, "values", request.values, path, request.values),
            reading(route, "combined", everything, path, everything),
            reading(route, "merged", merged, path, merged),
        ]
        if "ndjson" in request.mimetype:
            readings += [
                reading(route, "records", one, path, request.args) for one in records(body)
            ]
        if route["fields"] == ["body"]:
            whole = {"body": body.decode("latin-1")}
            readings.append(reading(route, "body", whole, path, request.args))
        told = json.dumps({"h": route["name"], "r": readings}, default=str) + "\n"
        with RECORD.open("a") as record:
            record.write(told)
        return Response(told, mimetype="text/plain")

    return report


for each in CONTRACT:
    rule = each["path"].replace("{", "<").replace("}", ">")
    app.add_url_rule(
        rule, each["name"], handler(each), methods=[each["method"]], strict_slashes=False
    )
app.wsgi_app = Override(app.wsgi_app)  # type: ignore[method-assign] # Flask's own way
logging.getLogger("werkzeug").setLevel(logging.ERROR)
WSGIRequestHandler.protocol_version = "HTTP/1.1"
app.run("127.0.0.1", PORT, threaded=True)
