# mypy: ignore-errors
# It runs on the system's Python, whose packages mypy does not see.
"""A Django project in one file that reports what it reads: `... PORT RECORD CONTRACT`.

It runs on the system's Python, where Debian puts Django.
"""

import json
import re
import sys
from pathlib import Path

import django
import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.http import HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.urls import re_path

PORT, RECORD, CONTRACT = int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
UNREADABLE = (
    BadRequest,
    SuspiciousOperation,
    RequestDataTooBig,
    MultiPartParserError,
    UnicodeError,
)


def document(body):
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def posted(request):
    """Return the form and the files of it; nothing where it cannot be read."""
    try:
        form = {name: request.POST.get(name) for name in request.POST}
        files = {
            name: [one.name, one.read().decode("latin-1")] for name, one in request.FILES.items()
        }
    except UNREADABLE:
        return {}
    return {**form, **files}


def dig(bag, name):
    """Return what stands under a name; `user.card` is a member of a member."""
    for one in name.split("."):
        if not hasattr(bag, "get"):
            return None
        bag = bag.get(one)
    return bag


def reading(route, idiom, bag, request, query, path):
    sources = {"json": bag, "query": query, "header": request.headers, "path": path, "": {}}
    values = {
        field: request.headers.get(field) if field.startswith("x-") else dig(bag, field)
        for field in route["fields"]
    }
    conversation = dig(sources[route["source"]], route["conversation"])
    return {"i": idiom, "c": conversation, "v": values, "w": bag.get(route["when"])}


def view(route):
    async def report(request, **path):
        if request.method != route["method"]:
            return HttpResponse(status=405)
        body = request.body
        query = {name: request.GET.get(name) for name in request.GET}
        form = posted(request)
        jsons = document(body)
        merged = {**query, **form, **jsons}
        found = [
            reading(route, "json", jsons, request, query, path),
            reading(route, "POST", form, request, query, path),
            reading(route, "merged", merged, request, merged, path),
        ]
        if "ndjson" in request.content_type:
            lines = [document(line) for line in body.splitlines()]
            found += [reading(route, "records", one, request, query, path) for one in lines]
        if route["fields"] == ["body"]:
            whole = {"body": body.decode("latin-1")}
            found.append(reading(route, "body", whole, request, query, path))
        told = json.dumps({"h": route["name"], "r": found}, default=str) + "\n"
        with RECORD.open("a") as record:  # noqa: ASYNC230 - a line, to a file
            record.write(told)
        return HttpResponse(told, content_type="text/plain")

    return report


def pattern(path):
    return "^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path.removeprefix("/")) + "/?$"


settings.configure(
    DEBUG=False, SECRET_KEY="x" * 50, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[]
)
django.setup()
urlpatterns = [re_path(pattern(one["path"]), view(one)) for one in CONTRACT]
uvicorn.run(get_asgi_application(), host="127.0.0.1", port=PORT, log_level="error")
