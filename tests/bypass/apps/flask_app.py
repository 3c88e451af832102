"""A Flask app on Werkzeug's server, with a method override before it: `... PORT RECORD`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

app = Flask(__name__)


@app.post("/api/pay", strict_slashes=False)
@app.post("/api/pay/<path:rest>")
def pay(rest: str = "") -> str:
    target = str(request.environ.get("RAW_URI", request.full_path))
    with Path(sys.argv[2]).open("a") as record:
        record.write(target.encode().hex() + " " + request.get_data().hex() + "\n")
    return "paid"


class Override:
    """The snippet of Flask's own documentation, and a method in whatever case."""

    def __init__(self, inner: WSGIApplication) -> None:
        self.inner = inner

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", environ["REQUEST_METHOD"])
        environ["REQUEST_METHOD"] = str(method).upper()
        return self.inner(environ, start_response)


app.wsgi_app = Override(app.wsgi_app)  # type: ignore[method-assign] # Flask's own way
app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
