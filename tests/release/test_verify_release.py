"""`sealyard verify-release` refuses each file of a release that is not as it was built."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.cli.conftest import invoke
from tools.release import provenance

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = base64.b64encode(
    KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()
FILES = ("sealyard-1.tar.gz", "sealyard-1-py3-none-any.whl", "sealyard-1.tgz")
ALL = (*FILES, "provenance.intoto.json", "SHA256SUMS", "SHA256SUMS.sig")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Return a folder with a signed release, from a commit without changes."""
    for number, name in enumerate(FILES):
        (tmp_path / name).write_bytes(bytes(range(256)) * (number + 1))
    told = json.loads(provenance.statement([tmp_path / name for name in FILES], {}))
    told["predicate"]["buildDefinition"]["externalParameters"] = {"commit": "c0" * 20} | {
        "changed": False
    }
    (tmp_path / "provenance.intoto.json").write_text(json.dumps(told))
    sign(tmp_path)
    return tmp_path


def sign(folder: Path) -> None:
    """Write sums and signature for what is there."""
    names = sorted(one.name for one in folder.iterdir() if not one.name.startswith("SHA256SUMS"))
    sums = "".join(f"{provenance.digest(folder / one)}  {one}\n" for one in names)
    (folder / "SHA256SUMS").write_text(sums)
    (folder / "SHA256SUMS.sig").write_bytes(KEY.sign(sums.encode()))


def verify(folder: Path, *options: str, status: int = 0) -> str:
    """Return what the command writes; it verifies with the key unless told otherwise."""
    chosen = options or ("--key", PUBLIC)
    return invoke("verify-release", str(folder), *chosen, status=status).output


def test_a_release_is_verified_with_what_was_not_fetched(release: Path) -> None:
    (release / FILES[0]).unlink()

    told = verify(release, "--key", PUBLIC, "--commit", "c0" * 20)

    assert f"absent  {FILES[0]}" in told
    assert f"ok      {FILES[1]}" in told


@pytest.mark.parametrize("name", ALL)
def test_one_changed_byte_of_any_file_is_refused(release: Path, name: str) -> None:
    whole = (release / name).read_bytes()
    for at in {0, len(whole) // 3, len(whole) // 2, len(whole) - 1}:
        changed = bytearray(whole)
        changed[at] ^= 1
        (release / name).write_bytes(changed)
        verify(release, status=1)
    (release / name).write_bytes(whole)
    verify(release)


def test_a_file_beside_the_release_is_told(release: Path) -> None:
    (release / "sealyard-2.whl").write_bytes(b"")

    assert "sealyard-2.whl: not in SHA256SUMS" in verify(release, status=1)


def test_sums_that_another_key_signed_are_refused(release: Path) -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    (release / "SHA256SUMS.sig").write_bytes(other.sign((release / "SHA256SUMS").read_bytes()))

    assert "is not the signature of SHA256SUMS by this key" in verify(release, status=1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"changed": True}, "built from files that were not committed"),
        ({"commit": "d0" * 20}, f"built from commit {'d0' * 20}"),
    ],
)
def test_what_the_provenance_tells_must_fit(
    release: Path, change: dict[str, object], told: str
) -> None:
    file = release / "provenance.intoto.json"
    document = json.loads(file.read_text())
    document["predicate"]["buildDefinition"]["externalParameters"].update(change)
    file.write_text(json.dumps(document))
    sign(release)

    assert told in verify(release, "--key", PUBLIC, "--commit", "c0" * 20, status=1)


def test_a_provenance_of_other_files_is_refused(release: Path) -> None:
    file = release / "provenance.intoto.json"
    document = json.loads(file.read_text())
    document["subject"].pop()
    file.write_text(json.dumps(document))
    sign(release)

    assert "tells of other files than SHA256SUMS" in verify(release, status=1)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"subject": 1}'])
def test_a_provenance_that_is_none_is_refused(release: Path, text: str) -> None:
    (release / "provenance.intoto.json").write_text(text)
    sign(release)

    assert "not a statement of what was built" in verify(release, "--unsigned", status=1)


def test_a_release_without_provenance_is_refused(release: Path) -> None:
    (release / "provenance.intoto.json").unlink()
    sign(release)

    assert "it says what was built from which commit" in verify(release, status=1)


@pytest.mark.parametrize("line", ["x", "0" * 64 + " a", "0" * 64 + "  ../a", "0" * 64 + "  .a"])
def test_a_line_that_is_no_sum_is_refused(release: Path, line: str) -> None:
    (release / "SHA256SUMS").write_text(line + "\n")

    assert "SHA256SUMS:1 is not the sum of a file" in verify(release, "--unsigned", status=1)


def test_either_a_key_or_none_must_be_chosen(release: Path) -> None:
    assert "give either --key or --unsigned" in verify(release, "--commit", "a", status=2)
    assert "no public key" in verify(release, "--key", "AAAA", status=2)
