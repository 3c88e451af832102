from pathlib import Path

import pytest

from proxy.config.load import load
from proxy.core.errors import ConfigurationError
from proxy.core.rulebook import Rulebook
from tests.config.builders import ROOT

LOADING = sorted((ROOT / "config").rglob("*.yaml"))
LATER = ROOT / "tests" / "config" / "data" / "later"
NOT_YET: dict[str, list[str]] = {
    "clinic": [],
}
# Their tenant comes from an unverified claim, and `jwks` is not built: somebody must vouch for it.
TRUSTING = {"clinic": ["21:15"]}
FEW_PARTS = "`tokens` bound to [tenant] alone opens whatever a client can make the backend echo"
WARNED = {
    "sealyard.yaml": ["nothing here opens the field `answer` under [tenant, field]"],
    "end-to-end.yaml": ["the sender is who the client says", "the reader is who the client says"],
    "kinto.yaml": [FEW_PARTS],
    "matrix.yaml": [FEW_PARTS],
    "matrix-room-bound.yaml": [],
    "graphql.yaml": [FEW_PARTS],
    "transit-egress.yaml": ["nothing here opens the field `question`"],
    "transit-ingress.yaml": ["nothing here opens the field `answer`"],
}


@pytest.mark.parametrize("path", LOADING, ids=lambda path: path.name)
def test_an_example_loads(path: Path) -> None:
    warnings = load(path, {}).warnings

    expected = WARNED.get(path.name, [])
    assert len(expected) == len(warnings)
    assert all(part in whole for part, whole in zip(expected, warnings, strict=True))


def test_every_example_of_the_tables_is_there() -> None:
    assert set(WARNED) <= {path.name for path in LOADING}
    assert sorted(NOT_YET) == sorted(path.stem for path in LATER.glob("*.yaml"))


@pytest.mark.parametrize("name", NOT_YET)
def test_an_example_of_later_tells_what_is_not_supported_yet(name: str) -> None:
    path = LATER / f"{name}.yaml"

    with pytest.raises(ConfigurationError) as caught:
        load(path, {})

    told = [one.removeprefix(f"{path}:") for one in caught.value.problems]
    trusting = [one for one in told if "trusted_names" in one]
    assert NOT_YET[name] == [one for one in told if one not in trusting]
    assert TRUSTING.get(name, []) == [one.split()[0] for one in trusting]


@pytest.mark.parametrize("path", LOADING, ids=lambda path: path.name)
def test_the_rules_of_an_example_can_be_used(path: Path) -> None:
    for listener in load(path, {}).settings.listeners:
        book = Rulebook(listener.rules, pass_unmatched=listener.pass_unmatched)

        assert tuple(one.rule for one in book.rules) == listener.rules
