"""A package whose `__init__` waits until somebody asks for what it makes.

Importing any module of aiohttp runs its `__init__` first, which imports the client with connectors,
cookies and TLS contexts: four megabytes for which no sidecar has a use unless it asks Kubernetes or
an application about themselves. After `defer`, a package is there and has not run: its modules are
imported as ever, and the first name that is no module of it, such as `aiohttp.ClientSession`, lets
`__init__` run. From then on it is the package that it always is. So nothing is ever missing,
whatever another version of the package wants of itself; at worst it runs at once, as without this.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import threading
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

# Modules of a package often ask for this one while they are imported.
_VERSION: Final = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
_LOCK: Final = threading.RLock()
_RUNNING: Final[set[str]] = set()


def defer(name: str) -> None:
    """Let a package wait from now on; do nothing where it was imported or is not what it should be.

    Called before the package is imported for the first time, by those who do not need all of it.
    """
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    found = _VERSION.search(_source(spec)) if spec is not None else None
    if spec is None or found is None:
        return
    package: Any = importlib.util.module_from_spec(spec)
    package.__version__ = found[1]
    package.__class__ = _Deferred
    sys.modules[name] = package


class _Deferred(ModuleType):
    """A package before its `__init__` has run, and while it runs."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the package has
        """Return a module of the package, or else what its `__init__` makes."""
        whole = f"{self.__name__}.{name}"
        if importlib.util.find_spec(whole) is not None:
            return importlib.import_module(whole)
        # Names of the language are asked for by those who want to know what it is, such as inspect.
        if name == "__all__" or not name.startswith("__"):
            _run(self)
        try:
            return self.__dict__[name]
        except KeyError:
            message = f"module {self.__name__!r} has no attribute {name!r}"
            raise AttributeError(message) from None


def _run(package: ModuleType) -> None:
    """Run `__init__`, once; other threads wait, what it imports meets it half made, as ever."""
    with _LOCK:
        if package.__class__ is not _Deferred or package.__name__ in _RUNNING:
            return
        _RUNNING.add(package.__name__)
        try:
            assert package.__spec__ is not None  # noqa: S101 - it was made from one
            assert package.__spec__.loader is not None  # noqa: S101 - that had one
            package.__spec__.loader.exec_module(package)
            package.__class__ = ModuleType  # type: ignore[assignment]  # it waits no more
        finally:
            _RUNNING.discard(package.__name__)


def _source(spec: ModuleSpec) -> str:
    get = getattr(spec.loader, "get_source", None)
    return (get(spec.name) if get is not None else None) or ""
