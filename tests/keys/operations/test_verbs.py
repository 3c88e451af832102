"""The declarations of verbs: each says all that its forms are made of."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from proxy.keys.operations import participant_operations, session_operations, value_verbs
from proxy.keys.operations.verb import Verb
from proxy.keys.operations.verbs import VERBS
from tests.keys.operations.test_participant_operations import Rig

EACH = pytest.mark.parametrize("verb", [pytest.param(one, id=one.name) for one in VERBS.values()])
FUNCTIONS = {
    **dict.fromkeys(("values.seal", "values.open")),
    "participants.list": participant_operations.find,
}


def the_function(verb: Verb) -> Any:  # noqa: ANN401 - of any arguments
    """Return what does the verb, also where it is imported late."""
    family, _, word = verb.name.partition(".")
    if family == "values":
        return verb.does
    module = {"sessions": session_operations, "participants": participant_operations}[family]
    return FUNCTIONS.get(verb.name) or getattr(module, word.replace("-", "_"))


@EACH
def test_a_function_takes_the_arguments_that_are_declared(verb: Verb) -> None:
    _, *parameters = inspect.signature(the_function(verb)).parameters.values()
    named = {one.name: one for one in parameters if one.kind is not one.VAR_KEYWORD}
    declared = {one.name: one for one in verb.arguments}
    assert named.keys() <= declared.keys()
    assert declared.keys() == named.keys() or len(named) < len(parameters)
    for name, one in named.items():
        argument = declared[name]
        always = argument.required or argument.form == "scope" or argument.default is not None
        assert always or one.default is not one.empty


@EACH
def test_a_verb_is_complete(verb: Verb) -> None:
    assert verb.route or verb.command
    assert verb.touches
    assert verb.summary.endswith(".")
    assert (verb.reach == "all") == (verb.join is not None)
    assert (verb.reach == "told") <= bool(verb.logged)
    assert all(one.help for one in verb.arguments if one.only != "route" and _is_option(verb, one))


def _is_option(verb: Verb, one: Any) -> bool:  # noqa: ANN401 - an argument
    return verb.command is not None and not one.word and one.form != "scope"


def test_no_two_verbs_have_the_same_route_or_name() -> None:
    routes = [one.route for one in VERBS.values() if one.route is not None]
    assert len({(one.method, one.path) for one in routes}) == len(routes)
    assert len({one.name for one in routes}) == len(routes)


def test_declarations_do_not_load_what_does_the_verbs() -> None:
    folder = Path(value_verbs.__file__).parent
    for name in ("session_verbs", "participant_verbs", "value_verbs", "verb", "verbs"):
        source = (folder / f"{name}.py").read_text()
        assert "_operations import" not in source
        assert import_module(f"proxy.keys.operations.{name}")


@pytest.mark.parametrize("action", ["revoke", "expire", "accept"])
async def test_a_change_is_written_down_under_the_name_of_its_verb(action: str) -> None:
    rig = Rig()
    kid = (await rig.ask("add", under="keyring", use="sig")).told["kid"]
    more = {"reason": "lost"} if action == "revoke" else {}
    done = await rig.ask(action, kid=kid, **more)
    assert [event for event, _ in rig.written] == ["participants.add", f"participants.{action}"]
    assert done.told == {"participant": rig.people.name("alice"), "kid": kid, "action": action}
