"""Without each guard of the keys' verbs, the test that holds it fails.

Each is taken out of a copy of the code, where its test runs then.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.parts import ROOT

SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Guard:
    """What a file of proxy/ has, what stands there in its place, and the test that fails then."""

    keeps_out: str
    file: str
    text: str
    instead: str
    test: str


GUARDS: Final = (
    Guard(
        "a key that is kept again after its erasure, in Redis",
        "keys/stores/redis/scripts.py",
        "local refused = fenced(KEYS[3], ARGV[4], ARGV[5], ARGV[6])",
        "local refused = nil",
        "tests/contracts/test_fences.py::test_a_key_that_was_erased_is_not_issued_again"
        "[redis-meanwhile-nothing]",
    ),
    Guard(
        "a key that is kept again after its erasure, in SQLite",
        "keys/stores/sqlite_file.py",
        "        if stands != under.seen:\n            raise Fenced(stands)\n",
        "",
        "tests/contracts/test_fences.py::test_a_key_that_was_erased_is_not_issued_again"
        "[sqlite-meanwhile-nothing]",
    ),
    Guard(
        "an erased package that a process issues again which has not heard of it",
        "keys/end_to_end/package_store.py",
        "        if began(package.sid) < self._sessions.fences.erased_before(name):\n"
        "            return None  # it came back, as from a backup of the store\n",
        "",
        "tests/contracts/test_fences.py::"
        "test_a_package_that_comes_back_does_not_open_under_the_fence",
    ),
    Guard(
        "an erasure that misses the names of an adopted keyring",
        "keys/keyring/keyring.py",
        "                yield key, one.record_key, one.id\n",
        "                yield from ()\n",
        "tests/keys/test_name_keys.py::"
        "test_an_adopted_keyring_is_found_in_the_same_store_under_all_its_names",
    ),
    Guard(
        "an erasure that misses former names",
        "keys/keyring/keyring.py",
        '        for other in self.names:\n            yield other.key, self.record_key, ""\n',
        "",
        "tests/keys/test_name_keys.py::test_an_erasure_destroys_what_has_either_name_and_says_so",
    ),
    Guard(
        "what a process that is cut off seals in the future, where no later revocation covers it",
        "keys/sessions/agreement.py",
        "        if began(record.sid) > self._clock() and not self._clock.wrong:\n"
        '            raise KeyUnavailable("clock-before-revocation")\n',
        "",
        "tests/contracts/test_leases.py::"
        "test_after_its_own_revocation_a_process_that_is_cut_off_seals_nothing_of_the_future"
        "[redis]",
    ),
    Guard(
        "a receipt for what has a name that this keyring does not know",
        "keys/fleet/presence.py",
        "for one in found if one.names - names)",
        "for one in ())",
        "tests/contracts/test_leases.py::"
        "test_an_erasure_by_a_keyring_that_lacks_names_of_the_fleet_is_not_complete[redis]",
    ),
    Guard(
        "a key that has leaked in one state of a keyring, and counts in both",
        "keys/keyring/record_keys.py",
        "*(_strictest(one, listed) for one in ours[1]),",
        "*ours[1],",
        "tests/keys/test_record_keys.py::"
        "test_a_key_that_leaked_in_one_state_of_a_keyring_counts_for_nothing_once_they_are_merged",
    ),
    Guard(
        "an older backup, adopted again, that drops name keys and what was revoked under them",
        "keys/keyring/merging.py",
        "    one = one if before is None else before.joined(one)\n",
        "",
        "tests/keys/test_adopting.py::"
        "test_an_older_backup_that_is_adopted_again_takes_no_name_and_no_record_key_away",
    ),
    Guard(
        "a backup of before a leak, restored without a word",
        "cli/commands/keys_backup.py",
        "if view.strange:",
        "if False:",
        "tests/cli/commands/test_keys_records.py::"
        "test_a_backup_of_before_a_leak_is_told_from_the_store",
    ),
    Guard(
        "a rewrapped file that an old copy and old shares open",
        "keys/keyring/wrapping_changes.py",
        "    def change(keyring: Keyring, _: KeyringLock) -> Locked:\n"
        "        keyring.require_signed()\n"
        "        root_key = RootKey(os.urandom(KEY_BYTES))\n",
        "    def change(keyring: Keyring, old: KeyringLock) -> Locked:\n"
        "        root_key = old.root_key\n",
        "tests/keys/keyring/roots/test_shares.py::"
        "test_old_shares_with_an_old_copy_open_nothing_of_the_file_after_a_rewrap",
    ),
    Guard(
        "a ready process that seals under a KEK which the fleet has disabled",
        "keys/fleet/lease.py",
        "        if not self._may_seal():\n            self.give_up()\n        elif accepted:",
        "        if accepted:",
        "tests/contracts/test_leases.py::test_whose_kek_the_fleet_has_disabled_seals_nothing",
    ),
    Guard(
        "a later file that somebody with an old copy made",
        "keys/fleet/lineage.py",
        "        if not origin.signed or file.id != held.id:\n            return False\n",
        "",
        "tests/keys/fleet/test_lineage.py::"
        "test_of_a_file_that_nobody_signed_revocations_alone_are_taken",
    ),
    Guard(
        "a signed file of another line",
        "keys/fleet/lineage.py",
        "return accepted or older or origin.head.follows(held.state)",
        "return True",
        "tests/keys/fleet/test_lineage.py::test_a_signed_file_that_does_not_follow_is_refused",
    ),
    Guard(
        "a name of a leaked record key that counts on",
        "keys/operations/record_rotation.py",
        "        return self.confirmed is None or kid in self.confirmed\n",
        "        return True\n",
        "tests/keys/test_record_keys.py::"
        "test_of_a_leaked_key_only_what_people_confirm_is_taken_over",
    ),
    Guard(
        "an answer to a message that was revoked meanwhile",
        "keys/sessions/sessions.py",
        "            and session.created >= self.revocations.not_before(session.scope)\n",
        "",
        "tests/keys/sessions/test_standing.py::"
        "test_a_revoked_session_stands_no_more_and_the_one_after_it_does",
    ),
    Guard(
        "a process that seals on although its lease has ended",
        "keys/sessions/sessions.py",
        "            self.leased\n            and session.created",
        "            session.created",
        "tests/keys/sessions/test_standing.py::test_without_a_lease_nobody_knows",
    ),
    Guard(
        "a revoked key of a participant that is put back",
        "keys/participants/stored_records.py",
        "        if found.epoch >= self._keyring.not_before(name):\n            return found\n",
        "        return found\n",
        "tests/keys/test_freshness.py::test_an_old_record_is_refused_at_a_process_that_begins",
    ),
    Guard(
        "a leaked record key of an adopted keyring that a merge brings back",
        "keys/keyring/kek.py",
        "if derivation.key_thumbprint(self.record_key) in other.past:",
        "if False:",
        "tests/keys/test_adopting.py::"
        "test_a_merge_of_forks_says_the_same_in_any_order_and_brings_no_record_key_back",
    ),
    Guard(
        "two KEKs of one number, of which none can be destroyed",
        "keys/keyring/merging.py",
        "    elif theirs.number == ours.number:",
        "    elif False:",
        "tests/keys/test_merge.py::test_two_keks_that_a_token_could_not_tell_apart_are_refused",
    ),
    Guard(
        "nobody that counts as everybody",
        "keys/fleet/presence.py",
        "return not self.missed and self.processes >= self.expected",
        "return not self.missed",
        "tests/contracts/test_leases.py::test_no_process_or_fewer_than_expected_is_not_all",
    ),
    Guard(
        "a verb that does not wait for who has not heard",
        "keys/fleet/presence.py",
        "told |= {one.process for one in found if ids <= one.learned}",
        "told |= {one.process for one in found}",
        "tests/contracts/test_leases.py::test_a_process_that_seals_without_the_store_is_named",
    ),
    Guard(
        "an erasure that searches the whole store",
        "keys/stores/redis/store.py",
        "        ids = await self._ids(name) if only is None else list(only)\n",
        '        await self._names(b"")\n'
        "        ids = await self._ids(name) if only is None else list(only)\n",
        "tests/redis/test_large.py",
    ),
    Guard(
        "a joined name that reads like another conversation",
        "core/crypto/context.py",
        "bytes((label + LABEL_STEP * KINDS[part.kind],))",
        "bytes((label,))",
        "tests/keys/test_erasing.py::"
        "test_an_erasure_of_joined_members_leaves_what_is_spelled_like_their_joining",
    ),
    Guard(
        "a restored backup that takes a newer KEK out of memory",
        "keys/fleet/lineage.py",
        "self._kept, self._given_up = _lacking(file, in_memory), False",
        "self._kept, self._given_up = (), False",
        "tests/keys/fleet/test_lineage.py::"
        "test_a_later_file_takes_no_kek_out_of_memory_that_nobody_destroyed",
    ),
    Guard(
        "a later file that brings a record key back which an adopted keyring has turned away",
        "keys/fleet/lineage.py",
        "self._adopted = _more_than(file, self._adopted_in_use, self._kept)",
        "self._adopted = _more_than(file, (), self._kept)",
        "tests/keys/test_adopting.py::"
        "test_a_process_goes_back_to_no_record_key_that_an_adopted_keyring_turned_away",
    ),
    Guard(
        "a Redis that forgets a revocation by a failover",
        "keys/sessions/ledger.py",
        "        if runs == self._runs:",
        "        if self._runs is not None:",
        "tests/redis/test_losses.py::test_a_redis_that_restarts_from_before_is_told_again"
        "[True-durable]",
    ),
    Guard(
        "a revocation that is lost behind its answer",
        "keys/sessions/session_control.py",
        "if found is None or _held(sessions, found, name, key) >= state.not_before:",
        "if True:",
        "tests/redis/test_losses.py::test_a_revocation_that_is_lost_while_it_settles_is_told_again",
    ),
    Guard(
        "a receipt for a key that has come back meanwhile",
        "keys/operations/session_operations.py",
        "            await fences.sweep(name, not_before)\n",
        "            pass\n",
        "tests/redis/test_losses.py::test_an_erasure_looks_again_once_it_has_settled",
    ),
    Guard(
        "a new salt, under which no running process opens the file again",
        "keys/keyring/keyring.py",
        "return derivation.passphrase_salt(self.identity)",
        "return __import__('os').urandom(16)",
        "tests/keys/keyring/test_file.py::"
        "test_a_restored_keyring_opens_for_who_keeps_only_what_a_passphrase_derived",
    ),
    Guard(
        "a full disk that keeps revocations out",
        "wiring/reload/reload.py",
        "                if self._lessen is not None:\n                    await self._lessen()\n",
        "",
        "tests/wiring/reload/test_reload.py::"
        "test_what_takes_rights_away_is_taken_where_a_reload_is_refused",
    ),
    Guard(
        "a dump that shows who talks to whom",
        "core/crypto/record_seal.py",
        "return iv + AESGCM(key).encrypt(iv, text, identity)",
        "return iv + text + bytes(16)",
        "tests/keys/end_to_end/test_dump.py",
    ),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose proxy/ is its own."""
    folder = tmp_path_factory.mktemp("without")
    for one in ROOT.iterdir():
        if one.name not in {"proxy", "build"} and not one.name.startswith("."):
            (folder / one.name).symlink_to(one)
    shutil.copytree(ROOT / "proxy", folder / "proxy")
    return folder


@pytest.mark.parametrize("guard", GUARDS, ids=lambda one: one.keeps_out)
def test_without_it_a_test_fails(guard: Guard, copy: Path) -> None:
    if "redis" in guard.test and shutil.which("redis-server") is None:
        pytest.skip("no redis-server here: apt-get install redis-server")
    file = copy / "proxy" / guard.file
    whole = file.read_text("utf-8")
    assert whole.count(guard.text) == 1
    file.write_text(whole.replace(guard.text, guard.instead), "utf-8")
    line = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", guard.test]
    try:
        ended = subprocess.run(  # noqa: S603 - pytest, on a test of ours
            line, cwd=copy, capture_output=True, check=False, text=True, timeout=SECONDS
        )
    finally:
        file.write_text(whole, "utf-8")
    told = ended.stdout[-4000:]
    assert ended.returncode == 1, told
    assert re.search(r"^FAILED tests/", told, re.MULTILINE), told
