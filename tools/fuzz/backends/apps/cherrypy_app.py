# mypy: ignore-errors
# It runs on the system's Python, whose packages mypy does not see.
"""A CherryPy app that reports what it reads: `... PORT RECORD CONTRACT`.

Its parameters are those of query and form together, as a handler gets them by name.
"""

import json
import re
import sys
from pathlib import Path

import cherrypy
from cherrypy.lib import httputil

PORT, RECORD, CONTRACT = int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
PATTERNS = [
    (re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", one["path"]) + "/?"), one)
    for one in CONTRACT
]


def plain(value):
    """Return a value of a form; of a file, its name and content."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if hasattr(value, "fullvalue"):
        content = value.fullvalue()
        return [value.filename, content if isinstance(content, str) else content.decode("latin-1")]
    return value


def dig(bag, name):
    """Return what stands under a name; `user.card` is a member of a member."""
    for one in name.split("."):
        if not hasattr(bag, "get"):
            return None
        bag = bag.get(one)
    return bag


def reading(route, idiom, bag, query, path):
    headers = cherrypy.request.headers
    sources = {"json": bag, "query": query, "header": headers, "path": path, "": {}}
    values = {
        field: headers.get(field) if field.startswith("x-") else plain(dig(bag, field))
        for field in route["fields"]
    }
    conversation = plain(dig(sources[route["source"]], route["conversation"]))
    return {"i": idiom, "c": conversation, "v": values, "w": plain(bag.get(route["when"]))}


class Reports:
    """All routes: CherryPy would take a path apart itself."""

    @cherrypy.expose
    def default(self, *_, **params):
        """Report what stands in a request."""
        request = cherrypy.request
        found = (
            (match, one)
            for pattern, one in PATTERNS
            if one["method"] == request.method and (match := pattern.fullmatch(request.path_info))
        )
        match, route = next(found, (None, None))
        if route is None:
            raise cherrypy.NotFound
        query = httputil.parse_query_string(request.query_string)
        # Of a form, its processor has left nothing.
        body = request.body.fp.read() if request.process_request_body else b""
        try:
            jsons = json.loads(body)
        except (ValueError, RecursionError):
            jsons = {}
        jsons = jsons if isinstance(jsons, dict) else {}
        path, merged = match.groupdict(), {**params, **jsons}
        readings = [
            reading(route, "json", jsons, query, path),
            reading(route, "params", params, params, path),
            reading(route, "body_params", request.body.params or {}, query, path),
            reading(route, "merged", merged, merged, path),
        ]
        if route["fields"] == ["body"]:
            whole = {"body": body.decode("latin-1")}
            readings.append(reading(route, "body", whole, query, path))
        told = json.dumps({"h": route["name"], "r": readings}, default=str) + "\n"
        with RECORD.open("a") as record:
            record.write(told)
        cherrypy.response.headers["Content-Type"] = "text/plain"
        return told.encode()


cherrypy.config.update(
    {
        "server.socket_host": "127.0.0.1",
        "server.socket_port": PORT,
        "server.thread_pool": 12,
        "log.screen": False,
        "engine.autoreload.on": False,
    }
)
cherrypy.quickstart(Reports())
