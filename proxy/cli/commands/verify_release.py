"""`sealyard verify-release`: whether files are those of a release, as built and signed."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Final

import click

from ...core.errors import KeyringError
from ...keys.keyring.signatures import verifies
from ..policy import SUMS_BYTES, ExitCode
from ..support import console

SUMS: Final = "SHA256SUMS"
SIGNATURE: Final = "SHA256SUMS.sig"
PROVENANCE: Final = "provenance.intoto.json"
_LINE: Final = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._+-]*)")


@click.command("verify-release")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--key",
    metavar="BASE64",
    help="The public key of who signs releases (SubjectPublicKeyInfo, Ed25519 or P-256): from"
    " elsewhere than the files.",
)
@click.option("--unsigned", is_flag=True, help="Look at sums and provenance alone.")
@click.option("--commit", help="The commit that the release must be built from, in hexadecimal.")
def verify_release(folder: Path, key: str | None, commit: str | None, *, unsigned: bool) -> None:
    """Verify the files of a release in FOLDER; change nothing.

    \b
    sealyard verify-release dist --key "$KEY"
    sealyard verify-release dist --unsigned --commit 5d1f07c9

    SHA256SUMS must be signed by the key (SHA256SUMS.sig), list every file that is there,
    and hold the sum of each. The provenance must tell of the same sums, and of a commit without
    changes. Files of the release that were not fetched are told, and are no fault.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    if (key is None) == (not unsigned):
        raise click.UsageError("give either --key or --unsigned")
    text = _read(folder / SUMS)
    if key is not None:
        _verify(key, _read(folder / SIGNATURE), text)
    listed = _listed(text)
    there = {one.name for one in folder.iterdir()} - {SUMS, SIGNATURE}
    faults = [f"{name}: not in {SUMS}" for name in sorted(there - listed.keys())]
    faults += [
        f"{name}: its bytes are not those of the release"
        for name in sorted(there & listed.keys())
        if _digest(folder / name) != listed[name]
    ]
    if PROVENANCE not in there:
        faults.append(f"{PROVENANCE}: missing; it says what was built from which commit")
    elif not faults:
        faults = _of_provenance(_read(folder / PROVENANCE), listed, commit)
    if faults:
        raise console.Failure("not verified:\n" + "\n".join(faults))
    for name in sorted(listed):
        click.echo(f"{'ok' if name in there else 'absent':<7} {name}")


def _verify(key: str, signature: bytes, text: bytes) -> None:
    try:
        made = verifies(signature, text, key)
    except KeyringError:
        told = "--key is no public key of Ed25519 or P-256 in base64 (SubjectPublicKeyInfo)"
        raise console.Failure(told, ExitCode.USAGE) from None
    if not made:
        raise console.Failure(
            f"{SIGNATURE} is not the signature of {SUMS} by this key: fetch both again, and look"
            " where the key comes from"
        )


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(SUMS_BYTES + 1)
    if len(data) > SUMS_BYTES:
        raise console.Failure(f"{file} is longer than {SUMS_BYTES} bytes")
    return data


def _listed(text: bytes) -> dict[str, str]:
    """Return the sum of each file; raise Failure where a line is not one of `sha256sum`."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.decode("ascii", "replace").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None or match[2] in found or match[2] in {SUMS, SIGNATURE}:
            raise console.Failure(f"{SUMS}:{number} is not the sum of a file: fetch it again")
        found[match[2]] = match[1]
    return found


def _of_provenance(document: bytes, listed: dict[str, str], commit: str | None) -> list[str]:
    """Return what the provenance (in-toto Statement v1, SLSA Provenance v1) tells otherwise."""
    try:
        told = json.loads(document)
        subjects = {one["name"]: one["digest"]["sha256"] for one in told["subject"]}
        source = told["predicate"]["buildDefinition"]["externalParameters"]
        built, changed = source["commit"], source["changed"]
    except (ValueError, KeyError, TypeError):
        return [f"{PROVENANCE}: not a statement of what was built"]
    expected = {name: one for name, one in listed.items() if name != PROVENANCE}
    faults = []
    if subjects != expected:
        faults.append(f"{PROVENANCE}: tells of other files than {SUMS}")
    if changed is not False:
        faults.append(f"{PROVENANCE}: built from files that were not committed")
    if commit is not None and built != commit:
        faults.append(f"{PROVENANCE}: built from commit {built}, not {commit}")
    return faults


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
