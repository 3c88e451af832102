"""`sealyard participants`, over a store of this machine. Pairs made here are Ed25519, for speed."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from proxy.config.settings import SecretReference
from proxy.core.errors import ParticipantError, ParticipantsUnavailable
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.root_secret import Passphrase
from proxy.keys.keyring.roots import FileRoot
from proxy.keys.participants import private_key, public_key
from proxy.keys.participants.registry import Participants
from tests.cli.commands.test_sessions import configure
from tests.cli.conftest import Run, invoke
from tests.keys.participants.builders import a_private_jwk, a_public_jwk, a_public_key

WORDS = "a passphrase for tests"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `sealyard participants` in a folder with a keyring and a store of this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEALYARD_CONFIG", raising=False)
    monkeypatch.setenv("SEALYARD_PARTICIPANT_PASSPHRASE", WORDS)
    invoke("keys", "init", "--root-file", "root.key")
    configure("sqlite:keys.db")
    for name in ("alice", "bob"):
        Path(f"{name}.json").write_text(json.dumps(a_public_jwk(f"{name}-enc")))
    return partial(invoke, "participants")


def listed(run: Run) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = json.loads(run("list", "alice", "--json").stdout)["keys"]
    return keys


def test_a_public_key_is_taken_and_published(run: Run) -> None:
    run("has-valid-keys", "alice", status=1)

    kid = run("add", "alice", "--jwk", "alice.json").stdout.strip()

    key = a_public_key("alice-enc")
    assert kid == key.kid
    assert json.loads(run("jwks", "alice").stdout) == {"keys": [key.to_jwk()]}
    assert run("has-valid-keys", "alice").stdout == "yes\n"


def test_a_pair_is_made_and_its_private_part_is_handed_out_encrypted(run: Run) -> None:
    told = json.loads(run("add", "alice", "--use", "sig", "--json").stdout)

    run("private", "alice", told["kid"], "alice.jwe")

    sealed = Path("alice.jwe").read_text().strip()
    (published,) = json.loads(run("jwks", "alice").stdout)["keys"]
    public = public_key.from_members(published)
    opened = private_key.unseal(sealed, Passphrase(WORDS), public)
    assert opened["kid"] == told["kid"]
    assert Path("alice.jwe").stat().st_mode & 0o777 == 0o600
    assert opened["d"].encode() not in Path("keys.db").read_bytes()


def test_a_rotation_keeps_the_old_key_for_its_grace(run: Run) -> None:
    run("add", "alice", "--jwk", "alice.json")
    run("rotate", "alice", "--jwk", "bob.json", "--grace", "60")

    old, new = listed(run)
    assert (old["status"], new["status"]) == ("rotated", "active")
    assert 55 <= old["retires"] - time.time() <= 61
    assert len(json.loads(run("jwks", "alice").stdout)["keys"]) == 1


def test_a_revoked_key_is_told_with_its_reason_and_not_taken_again(run: Run) -> None:
    kid = run("add", "alice", "--jwk", "alice.json").stdout.strip()

    run("revoke", "--yes", "alice", kid, "--reason", "phone lost")

    assert "revoked   main  phone lost" in run("list", "alice").stdout
    run("has-valid-keys", "alice", status=1)
    assert "already" in run("add", "alice", "--jwk", "alice.json", status=3).output


def test_a_key_id_that_begins_with_a_dash_goes_behind_two(run: Run) -> None:
    told = run("expire", "alice", "--", "-hidden", status=3).output

    assert "no key with that id" in told


def test_a_key_ends_when_it_is_told(run: Run) -> None:
    kid = run("add", "alice", "--jwk", "alice.json").stdout.strip()
    run("expire", "alice", kid)

    assert [one["status"] for one in listed(run)] == ["expired"]


def test_every_change_stands_in_the_audit_log_under_a_name_that_tells_nothing(run: Run) -> None:
    who = "alice-of-ward-seven"
    kid = run("add", who, "--jwk", "alice.json").stdout.strip()
    run("expire", who, kid)
    run("revoke", "--yes", who, kid, "--reason", "lost")
    run("revoke", "--yes", who, "unknown", "--reason", "lost", status=3)

    text = Path("keyring.jwe.audit").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    events = ["participants.add", "participants.expire", "participants.revoke"]
    assert [one["event"] for one in lines if one["event"].startswith("participants")] == events
    changes = [one for one in lines if one["event"].startswith("participants")]
    assert {one["kid"] for one in changes} == {kid}
    assert [one["event"] for one in lines if "record" in one] == ["keys.revoke"] * 2
    assert who not in text


def test_a_private_key_that_we_do_not_have_is_not_handed_out(run: Run) -> None:
    kid = run("add", "alice", "--jwk", "alice.json").stdout.strip()

    run("private", "alice", kid, "alice.jwe", status=1)

    assert not Path("alice.jwe").exists()


def test_a_private_key_is_not_taken_for_a_public_one(run: Run) -> None:
    Path("secret.json").write_text(json.dumps(a_private_jwk("alice-enc")))

    result = run("add", "alice", "--jwk", "secret.json", status=3)

    assert a_private_jwk("alice-enc")["d"] not in result.output
    assert listed(run) == []


def test_a_key_for_another_use_is_refused(run: Run) -> None:
    Path("enc.json").write_text(json.dumps(a_public_key("alice-enc").to_jwk()))
    told = run("add", "alice", "--use", "sig", "--jwk", "enc.json", status=3).output
    assert "--use enc" in told


def test_a_store_that_ends_with_its_process_takes_no_participant(run: Run) -> None:
    configure("memory")

    assert "memory" in run("list", "alice", status=1).output


def test_a_private_key_is_not_made_without_a_passphrase(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEALYARD_PARTICIPANT_PASSPHRASE", "")

    run("add", "alice", "--use", "sig", status=3)

    assert listed(run) == []


def test_a_private_key_can_stand_under_the_keyring(run: Run) -> None:
    kid = run("add", "alice", "--use", "sig", "--under", "keyring").stdout.strip()
    run("private", "alice", kid, "alice.jwe")

    sealed = Path("alice.jwe").read_text().strip()
    (published,) = json.loads(run("jwks", "alice").stdout)["keys"]
    keyring = open_keyring(Path("keyring.jwe"), FileRoot(SecretReference(file=Path("root.key"))))
    opener = private_key.keyring_opener(keyring)
    public = public_key.from_members(published)
    assert private_key.unseal(sealed, opener, public)["kid"] == kid
    with pytest.raises(ParticipantError):
        private_key.unseal(sealed, Passphrase(WORDS), public)


def test_a_prekey_is_made_signed_and_taken_before_the_static_key(run: Run) -> None:
    run("add", "alice", "--jwk", "alice.json")
    run("prekey", "alice", status=3)
    run("add", "alice", "--use", "sig")

    kid = run("prekey", "alice").stdout.strip()
    again = run("prekey", "alice", "--ttl", "60", "--grace", "60").stdout.strip()

    told = {one["kid"]: one for one in listed(run) if one.get("prekey")}
    assert {kid: one["status"] for kid, one in told.items()} == {kid: "rotated", again: "active"}
    run("prekey", "alice", "--under", "keyring", status=3)


def test_an_rsa_key_is_made_or_taken_to_sign_with(run: Run) -> None:
    made = run("add", "alice", "--use", "sig", "--ps256").stdout.strip()
    taken = run("add", "alice", "--use", "sig", "--device", "hsm", "--jwk", "alice.json")
    found = json.loads(run("jwks", "alice").stdout)["keys"]
    assert [one["alg"] for one in found] == ["PS256", "PS256"]
    assert [one["kid"] for one in found] == [made, taken.stdout.strip()]
    assert run("prekey", "alice").stdout  # which an RSA key signs as well
    # The same numbers are not taken to wrap for.
    assert "already" in run("add", "alice", "--jwk", "alice.json", status=3).output
    assert "--use sig" in run("add", "bob", "--ps256", status=3).output


def test_an_x_wing_key_is_made_beside_others_where_it_is_asked_for(run: Run) -> None:
    run("add", "alice", "--jwk", "alice.json")
    kid = run("add", "alice", "--x-wing").stdout.strip()
    found = json.loads(run("jwks", "alice").stdout)["keys"]
    assert [one["kty"] for one in found] == ["RSA", "AKP"]
    run("private", "alice", kid, "mine.jwe")
    public = public_key.from_members(found[1])
    members = private_key.unseal(Path("mine.jwe").read_text().strip(), Passphrase(WORDS), public)
    assert (members["kid"], members["alg"]) == (kid, "x-sealyard-HPKE-X-Wing")


def test_a_key_is_of_one_kind(run: Run) -> None:
    assert "cannot sign" in run("add", "alice", "--use", "sig", "--x-wing", status=3).output
    assert "X-Wing" in run("add", "alice", "--x25519", "--x-wing", status=3).output


def test_an_x_wing_key_that_they_made_themselves_is_taken(run: Run) -> None:
    Path("bob-xw.json").write_text(json.dumps(a_public_jwk("bob-xw")))
    kid = run("add", "bob", "--jwk", "bob-xw.json").stdout.strip()
    assert kid == a_public_key("bob-xw").kid


@pytest.mark.parametrize("kid", ["-5P2l8KWVtIrESG-iEWfYhGdc7WOWr5ou3FAAQ5VuS0", "--" + "h" * 41])
@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("accept", ()),
        ("expire", ()),
        ("private", ("mine.jwe",)),
        ("revoke", ("--reason", "lost", "--yes")),
    ],
)
def test_a_key_id_may_begin_with_a_dash(
    run: Run, command: str, more: tuple[str, ...], kid: str
) -> None:
    run("add", "alice", "--jwk", "alice.json")

    assert "no key with that id" in run(command, "alice", kid, *more, status=3).stderr


def test_what_is_no_option_is_refused_all_the_same(run: Run) -> None:
    run("expire", "alice", "k1", "--when", "now", status=2)


def test_a_key_that_nobody_accepted_is_shown_and_accepted(run: Run) -> None:
    first = run("add", "alice", "--jwk", "alice.json", "--accept").stdout.strip()
    other = run("add", "alice", "--jwk", "bob.json", "--device", "new").stdout.strip()
    shown = {one["kid"]: one["accepted"] for one in listed(run)}
    assert shown == {first: True, other: False}
    assert "new  NOT ACCEPTED" in run("list", "alice").stdout

    assert f"accepted {other}" in run("accept", "alice", other).stderr
    assert all(one["accepted"] for one in listed(run))
    lines = [json.loads(one) for one in Path("keyring.jwe.audit").read_text().splitlines()]
    found = [one["kid"] for one in lines if one["event"] == "participants.accept"]
    assert found == [first, other]


def test_a_key_that_is_not_there_or_over_is_not_accepted(run: Run) -> None:
    kid = run("add", "alice", "--jwk", "alice.json").stdout.strip()
    run("revoke", "--yes", "alice", "--reason", "lost", kid)

    run("accept", "alice", kid, status=3)
    run("accept", "alice", "x" * 43, status=3)
    assert "participants.accept" not in Path("keyring.jwe.audit").read_text()


async def no_answer(*_: object, **__: object) -> None:
    raise ParticipantsUnavailable("the store does not answer: store-timeout")


@pytest.mark.parametrize("action", ["add", "rotate"])
def test_a_key_that_was_stored_and_not_accepted_is_told_and_accepted_by_another_run(
    run: Run, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if action == "rotate":
        run("add", "alice", "--jwk", "alice.json", "--accept")
    else:
        run("add", "alice", "--jwk", "alice.json", "--accept", "--device", "other")
    kid, words = a_public_key("bob-enc").kid, (action, "alice", "--jwk", "bob.json", "--accept")
    with monkeypatch.context() as failing:
        failing.setattr("proxy.keys.participants.pins.PinBook.accept", no_answer)
        said = run(*words, status=3).stderr
    assert f"{kid} is stored, but not accepted: the store does not answer" in said
    before = listed(run)
    assert [one["accepted"] for one in before] == [True, False]

    assert run(*words).stdout.strip() == kid
    assert listed(run) == [before[0], {**before[1], "accepted": True}]


def test_a_key_that_cannot_be_accepted_is_not_stored_either(run: Run) -> None:
    config = Path("sealyard.yaml")
    kid = a_public_key("alice-enc").kid
    pins = f"  pins: {{participants: [{{participant: alice, keys: [{kid}]}}]}}\n"
    config.write_text(config.read_text().replace("keys:\n", f"keys:\n{pins}"))
    told = run("add", "alice", "--jwk", "bob.json", "--accept", status=3).stderr
    assert "the configuration pins" in told
    assert listed(run) == []


def test_a_change_that_is_done_is_no_error_where_the_pins_are_not_read(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as failing:
        failing.setattr("proxy.keys.participants.pins.PinBook.find", no_answer)
        kid = run("add", "alice", "--jwk", "alice.json").stdout.strip()
    assert [one["kid"] for one in listed(run)] == [kid]


def test_a_change_that_the_store_did_not_answer_is_not_called_undone(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Participants.change

    async def done_unanswered(*given: Any) -> None:  # noqa: ANN401 - passed on
        await kept(*given)
        await no_answer()

    with monkeypatch.context() as failing:
        failing.setattr(Participants, "change", done_unanswered)
        told = run("add", "alice", "--jwk", "alice.json", status=3).stderr
    (key,) = listed(run)
    assert f"whether {key['kid']} was changed is not known: list the keys" in told
