from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.admin.redacted_settings import redacted
from proxy.config.schema.json_schema import schema
from proxy.config.schema.reference_page import page
from proxy.config.settings import (
    KeySettings,
    RootSettings,
    SecretReference,
    Settings,
)
from proxy.config.settings.keys import KeyringSettings
from proxy.config.settings.root_kinds import ROOT_KINDS
from proxy.config.settings.store import STORE_KINDS
from proxy.config.values import files_in
from proxy.keys.keyring.roots import ROOTS
from proxy.keys.stores import STORES


def test_the_kinds_of_root_are_those_that_have_a_provider() -> None:
    assert ROOT_KINDS.keys() == ROOTS.keys()


def test_the_kinds_of_store_are_those_that_have_a_factory() -> None:
    assert STORE_KINDS.keys() == STORES.keys()


@pytest.mark.parametrize("kind", ROOT_KINDS)
def test_a_kind_of_root_is_in_the_schema_and_the_reference(kind: str) -> None:
    name = ROOT_KINDS[kind].key.name

    assert f"| `{name}` |" in page()
    assert f'{{"required": ["{name}"]}}' in json.dumps(schema())


@dataclass(frozen=True, slots=True)
class Options:
    """What a root with several options has: texts, lists, files and references to secrets."""

    address: str
    names: tuple[str, ...]
    ca: Path
    tokens: tuple[SecretReference, ...]


ROOT = RootSettings(
    "file",
    Options(
        "https://kms:8200",
        ("a", "b"),
        Path("/ca.pem"),
        (SecretReference(env="TOKEN"), SecretReference(file=Path("/token"))),
    ),
)


def test_files_and_secrets_are_found_wherever_they_are_in_the_options() -> None:
    assert ROOT.secrets == (SecretReference(env="TOKEN"), SecretReference(file=Path("/token")))
    assert files_in(ROOT) == (Path("/ca.pem"), Path("/token"))


def test_the_admin_api_shows_every_option_and_of_secrets_the_reference() -> None:
    shown = json.loads(
        json.dumps(redacted(Settings(KeySettings(KeyringSettings(Path("/k.jwe"), (ROOT,))), ())))
    )

    assert shown["keys"]["keyring"] == {
        "file": "/k.jwe",
        "roots": [
            {
                "key": {
                    "address": "https://kms:8200",
                    "names": ["a", "b"],
                    "ca": "/ca.pem",
                    "tokens": [{"env": "TOKEN"}, {"file": "/token"}],
                }
            }
        ],
    }
