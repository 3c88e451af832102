"""Scenes of the pages on what opens the keyring."""

from __future__ import annotations

import re
from typing import Final

from tests.kms_double import kms_double
from tests.pages.scene import RULES, Scene, page
from tests.softhsm import a_token

PINNED: Final = "lXJ6nQm9bTq0x3VfYkR2dA"


def aws_kms(scene: Scene) -> None:
    """A double of AWS KMS, in place of an account there."""
    kms = scene.stack.enter_context(kms_double())
    for name, value in kms.environment.items():
        scene.do(f"export {name}={value}")
    first, pin = page("docs/how-to/roots/aws-kms.md")
    at = f"      endpoint: '{kms.url}/'\n"
    scene.write("sealyard.yaml", first.text + at + RULES)
    scene.backend()

    def pinned() -> None:
        """Write the id beside the key, as step 4 says."""
        scene.write("sealyard.yaml", f"{first.text}{at}{pin.text}{RULES}")

    scene.reader.before = {"sealyard keys roots check": pinned}


def pkcs11(scene: Scene) -> None:
    """A token of SoftHSM with the key of the page, made as python-pkcs11 does."""
    token = a_token(scene.folder / "hsm", scene.folder / "hsm.pin")
    first, _ = page("docs/how-to/roots/pkcs11.md")
    configuration = token.folder / "softhsm2.conf"
    scene.reader.values |= {
        "85617ead95d5f1d3": token.options.serial,
        "/etc/softhsm/softhsm2.conf": str(configuration),
        "keyring-root": token.options.key,
    }
    scene.write("sealyard.yaml", f"version: 1\n{first.text}{RULES}")


def shares(scene: Scene) -> None:
    """Operators who write their shares down, and type them later."""
    (shown,) = page("docs/how-to/roots/shares.md")
    scene.reader.values["/run/sealyard"] = str(scene.folder)
    health = "health: {listen: 127.0.0.1:15021}\n"
    scene.write("sealyard.yaml", f"version: 1\n{shown.text}{health}{RULES}")
    scene.backend()
    written: list[str] = []

    def wrote(seen: str) -> str:
        *_, last = re.findall(r"(?:(?:^    .+\n){4})", seen, re.MULTILINE)
        written.append(" ".join(last.split()))
        return ""

    scene.reader.shell.typed |= {
        "Press Enter when it is written down: ": wrote,
        "share: ": lambda _: written.pop(),
    }
    scene.reader.servers = {"sealyard serve": "0 of 2 shares"}
    scene.tool("kubectl", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')

    def pin() -> None:
        keyring_id = scene.reader.values["K0vhMHeZ0OgHvhU06-qb9Q"]
        pinned = shown.text.replace("keyring.json\n", f"keyring.json\n    id: {keyring_id}\n")
        scene.write("sealyard.yaml", f"version: 1\n{pinned}{health}{RULES}")

    scene.reader.before = {"sealyard serve": pin}
