"""The routes that a server written in Python declares, as JSON: synapse|isso.

Run by the Python of its environment.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from typing import Any


def isso() -> list[tuple[str, str]]:
    """Return methods and patterns of werkzeug."""
    api = importlib.import_module("isso.views.comments").API
    return [(method, path) for _, (method, path) in api.VIEWS]


class Register:
    """Takes the place of the server that servlets register at."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    def register_paths(self, method: str, patterns: Iterable[Any], *_: object) -> None:
        self.found += [(method, one.pattern) for one in patterns]


def synapse() -> list[tuple[str, str]]:
    """Return methods and regular expressions."""
    rest = importlib.import_module("synapse.rest")
    for module in pkgutil.walk_packages(rest.__path__, "synapse.rest.", onerror=lambda _: None):
        if ".saml2" not in module.name:  # needs a library that is not installed
            importlib.import_module(module.name)
    register = Register()
    for servlet in of(importlib.import_module("synapse.http.servlet").RestServlet):
        with contextlib.suppress(NotImplementedError):  # what others derive from
            object.__new__(servlet).register(register)
    return register.found


def of(base: type[Any]) -> Iterator[type[Any]]:
    for one in base.__subclasses__():
        yield one
        yield from of(one)


sys.stdout.write(json.dumps({"isso": isso, "synapse": synapse}[sys.argv[1]]()))
