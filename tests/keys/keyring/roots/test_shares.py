"""Shares: what is made, what is taken, what opens, and what is forgotten."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config.settings.roots.shares import SharesOptions
from proxy.core.errors import KeyringError
from proxy.keys.keyring import file, share, wrapping_changes
from proxy.keys.keyring.roots import Roots, passphrase
from proxy.keys.keyring.roots.provider import Members
from proxy.keys.keyring.roots.shares import Collection, ShareCount, SharesRoot
from proxy.keys.keyring.share import KeyringShare, ShareValue
from proxy.keys.policy import SHARES_SECONDS

from ...builders import NOW, a_keyring

ID, OTHER = "A" * 22, "B" * 21 + "A"
CANARY = b"canary of a root key"


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    before = dict(passphrase._TAKEN)
    yield
    passphrase._TAKEN.clear()
    passphrase._TAKEN.update(before)


class Operators:
    """A root, its process, its clocks, and who holds the shares."""

    def __init__(self, needed: int = 2, made: int = 3, keyring_id: str = ID) -> None:
        self.monotonic, self.now = 0.0, 1_800_000_000.0
        self.shares: list[KeyringShare] = []
        self.process = Collection(lambda: self.monotonic)
        self.keyring_id = keyring_id
        self.options = SharesOptions(needed, made, "/unused")

    def root(self) -> SharesRoot:
        return SharesRoot(self.options, {}, self.process, made=self._take, now=lambda: self.now)

    def _take(self, made: tuple[KeyringShare, ...]) -> None:
        self.shares = list(made)

    def wrap(self) -> Members:
        self.now += 1
        members = self.root().wrap(CANARY, self.keyring_id)
        self.restart()
        return members

    def restart(self) -> None:
        passphrase._TAKEN.clear()
        self.process = Collection(lambda: self.monotonic)

    def unwrap(self, members: Members) -> bytes:
        return self.root().unwrap(members, self.keyring_id)

    def hand_in(self, one: KeyringShare) -> str:
        progress = self.process.progress()
        return str(self.process.hand_in(one, progress.attempt if progress else ""))


@pytest.mark.parametrize(("needed", "made"), [(2, 2), (2, 3), (3, 5)])
def test_any_k_of_the_shares_open_and_fewer_do_not(needed: int, made: int) -> None:
    operators = Operators(needed, made)
    members = operators.wrap()
    for chosen in itertools.permutations(operators.shares, needed):
        operators.restart()
        for held, one in enumerate(chosen):
            with pytest.raises(KeyringError) as refused:
                operators.unwrap(members)
            assert refused.value.reason == f"{held} of {needed} shares"
            assert operators.hand_in(one) == f"{held + 1} of {needed} shares"
        assert operators.unwrap(members) == CANARY


def test_a_share_may_be_printed_and_typed_in_between() -> None:
    operators = Operators()
    members = operators.wrap()
    _await_shares(operators, members)
    for one in operators.shares[:2]:
        operators.hand_in(share.parse(one.text()))
    assert operators.unwrap(members) == CANARY


def _await_shares(operators: Operators, members: Members) -> None:
    with pytest.raises(KeyringError):
        operators.unwrap(members)


def test_after_opening_the_shares_are_gone_and_a_reload_needs_none() -> None:
    operators = Operators()
    members = operators.wrap()
    _await_shares(operators, members)
    for one in operators.shares[1:]:
        operators.hand_in(one)

    assert operators.unwrap(members) == CANARY
    assert operators.process.progress() is None
    assert not operators.process._shares
    assert operators.unwrap(members) == CANARY
    with pytest.raises(KeyringError, match="no shares are wanted"):
        operators.hand_in(operators.shares[0])


def test_shares_expire_and_the_next_operator_learns_it() -> None:
    operators = Operators()
    members = operators.wrap()
    _await_shares(operators, members)
    before = operators.process.progress()
    assert before is not None
    operators.hand_in(operators.shares[0])
    operators.monotonic = SHARES_SECONDS

    with pytest.raises(KeyringError, match="have expired: begin again"):
        operators.process.hand_in(operators.shares[1], before.attempt)
    assert not operators.process._shares
    assert operators.hand_in(operators.shares[1]) == "1 of 2 shares"
    with pytest.raises(KeyringError, match="1 of 2 shares"):
        operators.unwrap(members)


def test_wrong_shares_are_refused_with_a_reason() -> None:
    operators, foreign = Operators(), Operators(keyring_id=OTHER)
    foreign.wrap()
    operators.wrap()
    earlier = operators.shares[0]
    members = operators.wrap()
    first, second, _ = operators.shares
    _await_shares(operators, members)
    operators.hand_in(first)
    forged = KeyringShare(second.keyring, second.split, second.needed, second.index, first.value)
    for one, reason in (
        (foreign.shares[0], "of another keyring"),
        (earlier, "of an earlier split"),
        (KeyringShare(second.keyring, second.split + 1, 2, 2, second.value), "of a later split"),
        (forged, "is none of this split"),
        (KeyringShare(second.keyring, second.split, 3, 2, second.value), "is none of this split"),
        (KeyringShare(second.keyring, second.split, 2, 9, second.value), "is none of this split"),
        (
            KeyringShare(second.keyring, second.split, 2, 2, ShareValue(bytes(32))),
            "is none of this split",
        ),
        (first, "share 1 was handed in already"),
    ):
        with pytest.raises(KeyringError, match=reason):
            operators.hand_in(one)
    progress = operators.process.progress()
    assert progress is not None
    assert progress.held == 1
    operators.hand_in(second)
    assert operators.unwrap(members) == CANARY


def test_a_keyring_that_was_split_again_drops_the_shares_of_before() -> None:
    operators = Operators()
    before = operators.wrap()
    old = operators.shares
    after = operators.wrap()
    _await_shares(operators, before)
    operators.hand_in(old[0])

    with pytest.raises(KeyringError, match="0 of 2 shares"):
        operators.unwrap(after)
    with pytest.raises(KeyringError, match="an earlier split"):
        operators.hand_in(old[1])


def test_a_wrapping_is_bound_to_its_keyring() -> None:
    operators = Operators()
    members = operators.wrap()
    _await_shares(operators, members)
    with pytest.raises(KeyringError, match="0 of 2"):
        operators.root().unwrap(members, OTHER)
    with pytest.raises(KeyringError, match="another keyring"):
        operators.hand_in(operators.shares[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"needed": 1},
        {"needed": 4},
        {"needed": "2"},
        {"split": "1"},
        {"shares": "x"},
        {"shares": ".".join("x" * 33)},
        {"more": 1},
    ],
)
def test_other_wrappings_are_refused(changes: dict[str, str | int]) -> None:
    operators = Operators()
    members = {**operators.wrap(), **changes}
    with pytest.raises(KeyringError, match="wrapping"):
        operators.unwrap(members)
    assert operators.process.progress() is None


def test_without_a_taker_no_split_is_made() -> None:
    with pytest.raises(KeyringError, match="keys init"):
        SharesRoot(Operators().options, {}).wrap(CANARY, ID)


def test_nothing_in_the_file_or_in_what_is_shown_is_a_share() -> None:
    operators = Operators()
    members = operators.wrap()
    shown = f"{members} {operators.root()!r} {operators.process.progress()!r} {operators.shares!r}"
    for one in operators.shares:
        for text in (one.text(), one.value.reveal().hex(), "".join(one.text().split())[20:40]):
            assert text not in shown


def test_operators_at_the_same_time_are_counted_once_each() -> None:
    operators = Operators(8, 8)
    members = operators.wrap()
    _await_shares(operators, members)
    progress = operators.process.progress()
    assert progress is not None
    refused: list[str] = []

    def hand_in(one: KeyringShare) -> None:
        try:
            operators.process.hand_in(one, progress.attempt)
        except KeyringError as error:
            refused.append(error.reason)

    threads = [threading.Thread(target=hand_in, args=(one,)) for one in operators.shares * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 16
    assert operators.unwrap(members) == CANARY


def test_the_process_that_makes_a_split_needs_no_share_of_it() -> None:
    operators = Operators()
    members = operators.root().wrap(CANARY, ID)

    assert operators.unwrap(members) == CANARY
    operators.restart()
    with pytest.raises(KeyringError, match="0 of 2 shares"):
        operators.unwrap(members)


def test_the_secret_is_handed_over_to_another_process() -> None:
    operators = Operators()
    members = operators.root().wrap(CANARY, ID)
    data = passphrase.handed_over()
    operators.restart()
    passphrase.take_over(data)

    assert operators.unwrap(members) == CANARY


def test_shares_are_asked_for_at_a_terminal() -> None:
    operators = Operators()
    members = operators.wrap()
    typed = [one.text() for one in operators.shares[1:]]
    seen: list[str] = []

    def ask(progress: ShareCount) -> str:
        seen.append(str(progress))
        return typed[progress.held]

    assert replace(operators.root(), ask=ask).unwrap(members, ID) == CANARY
    assert seen == ["0 of 2 shares", "1 of 2 shares"]


def test_old_shares_with_an_old_copy_open_nothing_of_the_file_after_a_rewrap(
    tmp_path: Path,
) -> None:
    keyring = a_keyring()
    operators, path = Operators(keyring_id=keyring.id), tmp_path / "keyring.jwe"
    roots = Roots((operators.root(),), keyring.id)
    file.create_keyring(path, keyring, roots)
    old_shares, old_copy = operators.shares, file.read_form(path)
    operators.now += 1
    wrapping_changes.rewrap(path, roots, lambda *_: None, now=NOW)
    operators.restart()

    roots = Roots((operators.root(),), keyring.id)
    _await_shares(operators, old_copy.wrappings[0].members)
    for one in old_shares[:2]:
        operators.hand_in(one)
    stolen = roots.unwrap(old_copy.wrappings, keyring.id).root_key
    assert old_copy.opened(stolen) == keyring
    with pytest.raises(KeyringError, match="MAC"):
        file.read_form(path).opened(stolen)
