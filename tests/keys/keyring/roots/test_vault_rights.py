"""What `doctor` says of a token's rights and of a key, before a real OpenBao."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.process.fitness import Finding
from tests.keys.keyring.roots.openbao import KEY, POLICY, OpenBao, needs_openbao, running

pytestmark = needs_openbao
READER = f'{POLICY}\npath "transit/keys/{KEY}" {{ capabilities = ["read"] }}'


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """Run OpenBao."""
    with running(tmp_path_factory.mktemp("openbao")) as server:
        server.policy("reader", READER)
        yield server


def verdicts(found: list[Finding]) -> list[str]:
    """Return what was found, in order."""
    assert {one.check for one in found} == {"root vault"}
    return [one.verdict for one in found]


def test_a_token_that_may_decrypt_alone_is_right(bao: OpenBao, tmp_path: Path) -> None:
    rights, kept = bao.root(bao.login(tmp_path / "token", "opener")).examine()

    assert rights.verdict == "ok"
    assert kept.verdict == "unknown"
    assert "`bao read transit/keys/sealyard`" in kept.text


def test_a_token_that_reads_the_key_shows_how_it_is_kept(bao: OpenBao, tmp_path: Path) -> None:
    assert verdicts(bao.root(bao.login(tmp_path / "token", "reader")).examine()) == ["ok", "ok"]


@pytest.mark.parametrize(
    ("path", "capability", "does"),
    [
        ("transit/encrypt/sealyard", "update", "encrypt with it"),
        ("transit/encrypt/sealyard", "create", "encrypt with it"),
        ("transit/encrypt/*", "update", "encrypt with it"),
        ("transit/keys/sealyard", "delete", "delete it"),
        ("transit/keys/sealyard/config", "update", "change its configuration"),
        ("transit/keys/sealyard/rotate", "update", "rotate it"),
        ("transit/keys/sealyard/trim", "update", "trim its versions"),
        ("transit/export/encryption-key/sealyard", "read", "export it"),
        ("transit/backup/sealyard", "read", "back it up"),
        ("transit/restore/sealyard", "create", "replace it"),
    ],
)
def test_a_right_that_is_too_wide_is_named(
    bao: OpenBao, tmp_path: Path, path: str, capability: str, does: str
) -> None:
    bao.policy("wide", f'path "{path}" {{ capabilities = ["{capability}"] }}')
    found = bao.root(bao.login(tmp_path / "token", "opener", "wide")).examine()

    assert found[0].verdict == "warning"
    assert f"more than decrypt with `sealyard`: {does}" in found[0].text


def test_a_token_with_all_rights_has_each_named(bao: OpenBao, tmp_path: Path) -> None:
    found = bao.root(bao.login(tmp_path / "token", "root")).examine()

    assert verdicts(found) == ["warning", "ok"]
    for does in ("encrypt with it", "delete it", "export it", "replace it"):
        assert does in found[0].text


def test_a_key_that_is_kept_badly_is_named(bao: OpenBao, tmp_path: Path) -> None:
    bao.done("transit/keys/bad", {"exportable": True, "allow_plaintext_backup": True})
    bao.done("transit/keys/bad/config", {"deletion_allowed": True})
    found = bao.root(bao.login(tmp_path / "token", "root"), key="bad").examine()

    assert verdicts(found) == ["warning"] * 5
    told = "\n".join(one.text for one in found)
    for text in ("derived=true", "deletion_allowed=false", "exportable=false", "in plaintext"):
        assert text in told


def test_a_key_that_ignores_the_context_is_seen_without_the_right_to_read_it(
    bao: OpenBao, tmp_path: Path
) -> None:
    bao.make_key("flat", derived=False)
    bao.policy("flat", 'path "transit/decrypt/flat" { capabilities = ["update"] }')
    found = bao.root(bao.login(tmp_path / "token", "flat"), key="flat").examine()

    assert verdicts(found) == ["ok", "warning"]
    assert "derived=true" in found[1].text


def test_a_token_without_the_default_policy_cannot_ask_for_its_rights(
    bao: OpenBao, tmp_path: Path
) -> None:
    login = bao.login(tmp_path / "token", "opener", no_default_policy=True)
    found = bao.root(login).examine()

    assert verdicts(found) == ["unknown", "unknown"]
    assert "the policy `default`" in found[0].text


def test_a_sealed_server_cannot_be_asked(bao: OpenBao, tmp_path: Path) -> None:
    root = bao.root(bao.login(tmp_path / "token", "opener"))
    bao.seal()
    try:
        found = root.examine()
    finally:
        bao.unseal()

    assert verdicts(found) == ["unknown", "unknown"]
    assert "it is sealed" in found[0].text
