"""Each in a process that has not imported aiohttp yet."""

from __future__ import annotations

import pytest

from .fresh import said

MAPPED = "print('libstdc++' in open('/proc/self/maps').read())"


@pytest.mark.parametrize("package", ["admin", "injector", "traffic"])
def test_who_serves_loads_no_cxx(package: str) -> None:
    served = (
        f"import proxy.{package}\nfrom aiohttp import web\nweb.Application().freeze()\n{MAPPED}"
    )

    assert said(served) == "False"
    assert said(f"from aiohttp import web\n{MAPPED}") == "True"  # else this test says nothing


def test_who_looks_at_the_environment_loads_no_cxx() -> None:
    assert said(f"from proxy.process.fitness import look\nlook()\n{MAPPED}") == "False"


def test_what_was_imported_before_stays() -> None:
    script = (
        "import frozenlist, sys\n"
        "from proxy.process.lean import lean_aiohttp\n"
        "lean_aiohttp()\n"
        "print(sys.modules['frozenlist._frozenlist'] is not None, frozenlist.FrozenList.__module__)"
    )

    assert said(script) == "True frozenlist._frozenlist"
