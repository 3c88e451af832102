"""The configurations that we give away: all load, and each is put to work by a test."""

from pathlib import Path

import pytest
import yaml

from proxy.config.load import load
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import ConfigurationError
from tests.config.builders import ROOT

LOADING = sorted(one for one in (ROOT / "config").rglob("*.yaml") if one.parent.name != "cases")
EXAMPLES = ROOT / "config" / "examples"
EXERCISED = {
    "apollo.yaml": "tests/acceptance/flows.py",
    "clinic.yaml": "tests/scenarios/test_clinic.py",
    "couchdb-attachments.yaml": "tests/acceptance/test_within.py",
    "directus.yaml": "tests/acceptance/flows.py",
    "django.yaml": "tests/acceptance/flows.py",
    "end-to-end.yaml": "tests/scenarios/test_sealed_end_to_end.py",
    "feathers.yaml": "tests/acceptance/flows.py",
    "fhir.yaml": "tests/scenarios/test_fhir.py",
    "graphql.yaml": "tests/scenarios/test_graphql.py",
    "graphql-operations.yaml": "tests/acceptance/test_graphql.py",
    "isso.yaml": "tests/acceptance/test_isso.py",
    "graphql-uploads.yaml": "tests/acceptance/test_within.py",
    "json-server.yaml": "tests/acceptance/flows.py",
    "kinto.yaml": "tests/acceptance/test_kinto.py",
    "kinto-conversations.yaml": "tests/acceptance/test_kinto.py",
    "llm-egress.yaml": "tests/acceptance/llm_scene.py",
    "llm-ingress.yaml": "tests/acceptance/llm_scene.py",
    "matrix.yaml": "tests/scenarios/test_matrix.py",
    "matrix-room-bound.yaml": "tests/scenarios/test_matrix.py",
    "ntfy.yaml": "tests/acceptance/test_ntfy.py",
    "parse.yaml": "tests/acceptance/test_parse.py",
    "pocketbase.yaml": "tests/acceptance/test_pocketbase.py",
    "pouchdb.yaml": "tests/acceptance/test_pouchdb.py",
    "queue.yaml": "tests/acceptance/test_within.py",
    "socketio.yaml": "tests/scenarios/test_socketio.py",
    "socketio-files.yaml": "tests/acceptance/test_socketio.py",
    "transit-egress.yaml": "tests/scenarios/test_transit.py",
    "transit-ingress.yaml": "tests/scenarios/test_transit.py",
    "wordpress.yaml": "tests/acceptance/flows.py",
}
"""Which test runs an example before a backend of its shape."""
FEW_PARTS = "`tokens` bound only to [tenant] opens whatever a client can make the backend echo"
WARNED = {
    "apollo.yaml": ["has the same field name `text`"] * 2,  # it is the text of a message
    "sealyard.yaml": ["no rule opens the field `answer` with the bind [tenant, field]"],
    "clinic.yaml": [FEW_PARTS],
    "couchdb-attachments.yaml": ["no rule opens the field `digest`"],
    "fhir.yaml": ["`others: pass` leaves open other members"],  # a bundle has entries of any type
    "isso.yaml": [FEW_PARTS],
    "kinto.yaml": [FEW_PARTS],
    "llm-egress.yaml": [
        "has the same field name `reasoning`",  # it is renamed on the way: it is the same text
        *(
            f"no rule opens the field `{one}`"
            for one in ("function", "tool_choice", "schema", "prediction", "bias", "metadata")
        ),
    ],
    "llm-ingress.yaml": [
        "has the same field name `reasoning`",
        *(
            f"no rule opens the field `{one}`"
            for one in ("annotations", "logprobs", "prompt_logprobs", "error")
        ),
        *(
            f"has the same field name `{one}`"  # in a stream or not, it is the same text
            for one in ("content", *["reasoning"] * 2, "refusal", "arguments", "annotations")
        ),
    ],
    "matrix.yaml": [FEW_PARTS],
    "matrix-room-bound.yaml": [],
    "graphql.yaml": [FEW_PARTS],
    "graphql-operations.yaml": [FEW_PARTS],
    "graphql-uploads.yaml": [  # the files of one message, and its text whatever the body
        *(f"has the same field name `{one}`" for one in ("file", "file_name") * 2),
        "has the same field name `text`",
    ],
    "pouchdb.yaml": ["no rule opens the field `digest`"],
    "pocketbase.yaml": [  # the same texts in JSON or in a form, and the files of one batch
        f"has the same field name `{one}`" for one in ("body", "note", "meta", *["scan"] * 10)
    ],
    "queue.yaml": ["has the same field name `note`"],  # it is the same text
    "transit-egress.yaml": ["no rule opens the field `question`"],
    "transit-ingress.yaml": ["no rule opens the field `answer`"],
}


@pytest.mark.parametrize("path", LOADING, ids=lambda path: path.name)
def test_an_example_loads(path: Path) -> None:
    warnings = load(path, {}).warnings
    if path.name == "clinic.yaml":  # a mode of it has an end, which is told from its day on
        warnings = tuple(one for one in warnings if "which has passed" not in one)

    expected = WARNED.get(path.name, [])
    assert len(expected) == len(warnings)
    assert all(part in whole for part, whole in zip(expected, warnings, strict=True))


def test_every_example_of_the_table_is_there() -> None:
    assert set(WARNED) <= {path.name for path in LOADING}


def test_every_example_is_put_to_work() -> None:
    assert sorted(EXERCISED) == sorted(path.name for path in EXAMPLES.glob("*.yaml"))
    for example, test in EXERCISED.items():
        assert f'"{example}"' in (ROOT / test).read_text()


@pytest.mark.parametrize("path", LOADING, ids=lambda path: path.name)
def test_an_example_is_the_same_to_both_readers_of_yaml(path: Path) -> None:
    text = path.read_text()

    assert yaml.CSafeLoader(text).get_single_data() == yaml.SafeLoader(text).get_single_data()


@pytest.mark.parametrize("name", ["clinic.yaml", "graphql.yaml"])
def test_a_claim_is_a_name_only_where_somebody_vouches_for_it(name: str, tmp_path: Path) -> None:
    lines = (EXAMPLES / name).read_text().splitlines(keepends=True)
    path = tmp_path / name
    path.write_text("".join(one for one in lines if "trusted_names" not in one))

    with pytest.raises(ConfigurationError) as caught:
        load(path, {})

    assert "trusted_names" in "".join(caught.value.problems)


@pytest.mark.parametrize("path", LOADING, ids=lambda path: path.name)
def test_the_rules_of_an_example_can_be_used(path: Path) -> None:
    for listener in load(path, {}).settings.listeners:
        book = RuleTable(listener.rules, pass_unmatched=listener.pass_unmatched)

        assert tuple(one.rule for one in book.rules) == listener.rules
