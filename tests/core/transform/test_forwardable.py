from __future__ import annotations

import ast
import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

import proxy
from proxy.core.transform import Changed, Forwardable, Frame
from tests.factories import a_block, a_message, a_response, a_rule, reply, send

PACKAGE = Path(proxy.__file__).parent


def names_mint(module: Path) -> bool:
    """Tell whether a module names the maker of Forwardables or its token in any way."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and "forwardable" in (node.module or ""):
            if any(alias.name not in {"Changed", "Forwardable", "Frame"} for alias in node.names):
                return True
        elif isinstance(node, ast.ImportFrom | ast.Import):
            if any(alias.name.split(".")[-1] == "forwardable" for alias in node.names):
                return True
        elif isinstance(node, ast.Attribute) and node.attr in {"mint", "_MINT"}:
            return True
    return False


def test_only_the_rooms_of_the_transform_make_forwardables() -> None:
    makers = {
        str(module.relative_to(PACKAGE)) for module in PACKAGE.rglob("*.py") if names_mint(module)
    }
    rooms = {"changed", "passing", "prepared"}
    assert makers == {f"core/transform/{one}.py" for one in rooms}


def test_nobody_else_calls_the_class() -> None:
    callers = {
        str(module.relative_to(PACKAGE))
        for module in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) in {"Changed", "Forwardable"}
    }
    assert callers == {"core/transform/forwardable.py"}


@pytest.mark.parametrize("forged", [None, object(), True, "mint"])
def test_the_class_refuses_who_is_not_the_rule_engine(forged: object) -> None:
    with pytest.raises(TypeError, match="only the rule engine"):
        Forwardable(forged, Frame(a_message().head), b"plaintext", None)
    with pytest.raises(TypeError, match="only the rule engine"):
        Changed(forged, Frame(a_message().head), b"plaintext", {}, ())


@pytest.mark.parametrize("spread", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_forwardable_is_not_copied(spread: Callable[[Forwardable], object]) -> None:

    rule = a_rule(request=a_block(encrypt=["$.content"]))
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        spread(send(rule, a_message()).forwardable)


def test_it_tells_what_becomes_of_the_body() -> None:

    block = a_block(encrypt=["$.content"])
    changed = send(a_rule(request=block, response=block), a_message()).forwardable
    assert (changed.frame.changed, changed.frame.ruled, changed.frame.media_type) == (
        True,
        True,
        None,
    )
    kept = reply(a_rule(response=a_block(decrypt=["$.x"])), b"{}", a_response()).forwardable
    assert (kept.body, kept.frame.changed, kept.frame.added_headers) == (b"{}", False, ())
