"""Every event that the code reports by name is declared, with every key that it is given."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from proxy.telemetry.logs.events import EVENTS

ROOT = Path(__file__).parent.parent.parent


def reports(module: Path) -> Iterator[tuple[str, set[str]]]:
    """Return the events that a module reports by name, with the keys that it names."""
    for node in ast.walk(ast.parse(module.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "report"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value), {key.arg for key in node.keywords if key.arg}


def test_what_is_declared_is_reported_somewhere() -> None:
    code = [path.read_text() for path in (ROOT / "proxy").rglob("*.py") if path.stem != "events"]
    # The one event whose name is put together has the rest of it beside.
    made = {"key.session_created": '"created"', "key.session_rotated": '"rotated"'}

    for event in EVENTS:
        named = made.get(event, f'"{event}"')
        assert any(named in text for text in code), event


def test_a_module_reports_only_what_is_declared() -> None:
    told = [
        (path.relative_to(ROOT).as_posix(), event, keys)
        for path in sorted((ROOT / "proxy").rglob("*.py"))
        for event, keys in reports(path)
    ]

    assert len({path for path, _, _ in told}) > 20
    assert [one for one in told if one[1] not in EVENTS or one[2] - set(EVENTS[one[1]].keys)] == []
