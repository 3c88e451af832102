"""Packages that are made up, and aiohttp itself, each in a process that has not imported it yet."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from . import fresh

INIT = """
__version__ = "1.2"
from . import light
from .heavy import Heavy
made = light.runs = getattr(light, "runs", 0) + 1
__all__ = ("Heavy", "made")
"""


def said(folder: Path, script: str) -> str:
    """Return what a script prints for which `toy` waits; `loaded` tells whether it has run."""
    start = (
        "import sys\n"
        "from proxy.process.deferred import defer\n"
        "defer('toy')\n"
        "def loaded(): return 'toy.heavy' in sys.modules\n"
    )
    return fresh.said(start + textwrap.dedent(script), folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    package = tmp_path / "toy"
    package.mkdir()
    (package / "__init__.py").write_text(INIT)
    (package / "light.py").write_text("from . import __version__\n")
    (package / "heavy.py").write_text("from . import light\nclass Heavy: ...\n")
    return tmp_path


@pytest.mark.parametrize(
    "script",
    [
        "import toy",
        "import toy.light",
        "from toy import light",
        "from toy.light import __version__ as v; assert v == '1.2'",
        "import toy; toy.light",
        "import toy; assert not hasattr(toy, '__wrapped__')",
        "import toy; repr(toy), dir(toy), toy.__file__, toy.__path__",
    ],
)
def test_what_is_light_leaves_the_rest_alone(folder: Path, script: str) -> None:
    assert said(folder, f"{script}\nprint(loaded())") == "False"


@pytest.mark.parametrize(
    "script",
    [
        "import toy; toy.Heavy",
        "from toy import Heavy",
        "from toy import *; Heavy",
        "import toy.light; toy.light; toy.made",
        "from toy.heavy import Heavy",
    ],
)
def test_what_is_heavy_is_there_when_asked_for(folder: Path, script: str) -> None:
    assert said(folder, f"{script}\nprint(loaded())") == "True"


def test_it_is_then_the_package_that_it_always_is(folder: Path) -> None:
    tell = """
        import types, toy
        from toy import light
        toy.Heavy
        print(type(toy) is types.ModuleType, sorted(vars(toy)), toy.made, light.runs)
    """
    ordinary = f"del sys.modules['toy']\nimport toy\n{textwrap.dedent(tell)}"

    assert said(folder, tell) == said(folder, ordinary)


def test_what_it_does_not_have_it_does_not_have(folder: Path) -> None:
    script = """
        import toy
        try: toy.nothing
        except AttributeError as error: print(error)
        try: from toy import nothing
        except ImportError as error: print(type(error).__name__)
    """

    assert said(folder, script).splitlines() == [
        "module 'toy' has no attribute 'nothing'",
        "ImportError",
    ]


def test_several_threads_let_it_run_once(folder: Path) -> None:
    (folder / "toy" / "heavy.py").write_text(
        "import time; time.sleep(0.2)\nfrom . import light\nclass Heavy: ...\n"
    )
    script = """
        import toy
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(lambda _: toy.Heavy, range(8)))
        print(len(found), toy.light.runs)
    """

    assert said(folder, script) == "1 1"


def test_one_that_fails_fails_each_time_with_its_own_error(folder: Path) -> None:
    (folder / "toy" / "heavy.py").write_text("raise OSError('no disk')\n")
    script = """
        import toy.light
        for _ in range(2):
            try: toy.Heavy
            except OSError as error: print(error)
    """

    assert said(folder, script).splitlines() == ["no disk", "no disk"]


@pytest.mark.parametrize("text", [None, "from .heavy import Heavy\n"])
def test_what_is_not_as_expected_is_imported_as_ever(folder: Path, text: str | None) -> None:
    script = "print('toy' in sys.modules)\n"
    if text is None:
        (folder / "toy").rename(folder / "other")
    else:
        (folder / "toy" / "__init__.py").write_text(text)
        (folder / "toy" / "heavy.py").write_text("class Heavy: ...\n")
        script += "import toy; print(loaded())"

    assert said(folder, script).split() == (["False"] if text is None else ["False", "True"])


def test_what_was_imported_already_stays_as_it_is(folder: Path) -> None:
    script = """
        sys.modules['toy'] = toy = object()
        defer('toy')
        print(sys.modules['toy'] is toy)
    """

    assert said(folder, script) == "True"


def test_aiohttp_has_all_its_names(tmp_path: Path) -> None:
    tell = """
        import aiohttp, proxy.traffic.listener
        print('aiohttp.client' in sys.modules)
        print(aiohttp.__version__, all(getattr(aiohttp, name) for name in aiohttp.__all__))
        print(sorted(name for name in vars(aiohttp) if not name.startswith('web')))
    """
    waiting, *names = said(tmp_path, f"defer('aiohttp'){textwrap.dedent(tell)}").splitlines()
    ordinary, *others = said(tmp_path, f"import aiohttp.client{textwrap.dedent(tell)}").splitlines()

    assert (waiting, ordinary) == ("False", "True")
    assert names == others
