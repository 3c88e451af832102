"""docs/how-to/roots/aws-kms.md: its configuration loads, and its policy allows what is called."""

from __future__ import annotations

import json
import re
from pathlib import Path

from proxy.keys.keyring.roots.aws_kms import AwsKmsRoot
from tests.config.builders import loaded
from tests.kms_double import kms_double
from tests.scenarios.test_roots import root_of

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "how-to" / "roots" / "aws-kms.md").read_text(encoding="utf-8")
LISTENERS = """\
listeners:
  - {name: api, listen: 127.0.0.1:0, upstream: 'http://127.0.0.1:1', unmatched: pass}
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_configuration_loads_with_the_pin_that_the_page_adds() -> None:
    first, pin = blocks("yaml")
    (root,) = loaded(first + LISTENERS).settings.keys.keyring.roots
    assert root.kind == "aws-kms"
    keys = loaded(first + pin + LISTENERS).settings.keys
    assert keys.keyring.id == "lXJ6nQm9bTq0x3VfYkR2dA"


def test_the_policy_allows_the_one_call_of_a_process_under_its_context() -> None:
    (policy,) = (json.loads(one) for one in blocks("json"))
    (statement,) = policy["Statement"]
    with kms_double() as kms:
        root: AwsKmsRoot = root_of(kms)
        root.unwrap(root.wrap(b"x", "KEYRING_ID"), "KEYRING_ID")
        assert kms.calls == ["Encrypt", "Decrypt"]
    context = kms.asked[1]["EncryptionContext"]
    assert statement["Action"] == "kms:Decrypt"
    assert statement["Condition"]["StringEquals"] == {
        f"kms:EncryptionContext:{name}": value for name, value in context.items()
    }
    (_, shown) = blocks("yaml")[0].split("key: ")
    assert statement["Resource"] == shown.strip()
