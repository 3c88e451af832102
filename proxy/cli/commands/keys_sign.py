"""`sealyard keys sign`: the signature of operators under the keyring's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from ...core.errors import KeyringError
from ...keys import private_file
from ...keys.keyring import file
from ...keys.keyring.keyring import Keyring
from ...keys.policy import MAX_PASSPHRASE_BYTES, MOST_SIGNATURE_BYTES
from ..support import console
from ..support.console import FILE, ask, utc, yes_option
from ..support.keyring_changes import asked, tell
from ..support.keyring_options import KeyringPlace, keyring_options


@click.command()
@click.option("--signing-key", type=FILE, help="Sign with this private key: PEM, Ed25519 or P-256.")
@click.option(
    "--signing-passphrase-file", type=FILE, help="Read the passphrase of the private key from here."
)
@click.option("--to-sign", type=FILE, help="Write what is signed to this file, and sign nothing.")
@click.option(
    "--signature", type=FILE, help="Take this signature, which was made elsewhere over that file."
)
@yes_option
@keyring_options
def sign(  # noqa: PLR0913 - each is one option
    place: KeyringPlace,
    signing_key: Path | None,
    signing_passphrase_file: Path | None,
    to_sign: Path | None,
    signature: Path | None,
    *,
    yes: bool,
) -> None:
    """Sign the keyring's file, so that running processes believe what was changed in it.

    \b
    sealyard keys sign --signing-key signing.pem
    sealyard keys sign --signature head.sig --yes

    The configuration names the public keys (`keys.keyring.signed_by`). A key in an HSM or at a key
    service signs what `--to-sign` writes. Shows the KEKs and the roots, and asks for confirmation.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    if sum(one is not None for one in (signing_key, to_sign, signature)) != 1:
        raise click.UsageError("give one of --signing-key, --to-sign and --signature")
    form = file.read_form(place.path)
    keyring = file.open_keyring(place.path, place.roots)
    text = form.head.text()
    if to_sign is not None:
        to_sign.write_bytes(text)
        console.say(f"wrote {to_sign}: {len(text)} bytes to sign")
        return
    if not yes:
        ask(*_meaning(form, keyring))
    made = _made(place, text, signing_key, signing_passphrase_file, signature)
    place.write_down(keyring, "keys.sign", generation=keyring.generation)
    asked(lambda: file.add_signature(place.path, form, made))
    tell(keyring)
    console.say(f"signed {place.path}; distribute it")


def _made(
    place: KeyringPlace,
    text: bytes,
    key: Path | None,
    passphrase: Path | None,
    signature: Path | None,
) -> bytes:
    """Return a signature that one of the configured keys verifies."""
    from ...keys.keyring import signatures  # noqa: PLC0415 - asymmetric keys, for this command

    if key is not None:
        secret = None
        if passphrase is not None:
            secret = bytes(private_file.read_secret_line(passphrase, MAX_PASSPHRASE_BYTES))
        made, public = signatures.sign(text, key, secret)
        console.say(f"public key {public}")
    else:
        made = private_file.read(signature or Path(), MOST_SIGNATURE_BYTES)
    known = place.roots.signed_by
    if not known and key is None:
        raise KeyringError("a signature is checked by keys.keyring.signed_by, which is not there")
    if known and not any(signatures.verifies(made, text, one) for one in known):
        raise console.Failure("no key of keys.keyring.signed_by made this signature over this file")
    return made


def _meaning(form: file.KeyringForm, keyring: Keyring) -> Iterator[str]:
    """Yield what is signed."""
    yield f"keyring {keyring.id}, generation {keyring.generation}"
    for kek in keyring.keks:
        yield f"KEK {kek.id}: {kek.state}, created {utc(kek.created)}"
    yield f"roots that open it: {', '.join(str(one.root) for one in form.wrappings)}"
    former = form.head.former
    follows = f"generation {former[-1].generation}" if former else "nothing: it is the first"
    yield f"it follows from {follows}; processes take it in place of what they have"
