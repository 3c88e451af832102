"""`sealyard keys rotate-index`: the secret of searches, and its next generation."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result

from proxy.config.settings import SecretReference
from proxy.core.crypto.context import Scope
from proxy.core.search.tags import IndexKeys
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from tests.cli.conftest import Run, invoke
from tests.migration.builders import CANARY, SET, a_clinic, stored

from .test_keys_records import CONFIG


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `sealyard keys` in a folder with a keyring."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, status: int = 0) -> Result:
        return invoke("keys", *words, "--root-file", "root.key", status=status)

    run("init")
    return run


def test_a_generation_is_made_replaced_and_dropped(run: Run) -> None:
    assert "no former generation" in run("rotate-index", "--drop", status=1).stderr
    assert "go by generation 1 of the index; values get tags up to 1" in run("rotate-index").stderr
    assert "go by generation 1 of the index; values get tags up to 2" in run("rotate-index").stderr
    assert "drop the former one" in run("rotate-index", status=1).stderr
    assert "nothing was proven" in run("rotate-index", "--drop", status=1).stderr
    anyway = ("rotate-index", "--drop", "--unproven")
    assert "generation 1 of the index is removed" in run(*anyway, status=2).stderr
    told = run(*anyway, "--yes").stderr
    assert "go by generation 2 of the index; values get tags up to 2" in told
    events = [json.loads(one) for one in Path("keyring.jwe.audit").read_text().splitlines()]
    told_events = [one["event"] for one in events if "index" in one["event"]]
    assert told_events == ["keys.rotate-index"] * 2 + ["keys.index-drop"]
    assert events[-1]["index"] == "1"


def test_values_of_the_equal_form_turn_and_options_belong_together(run: Run) -> None:
    assert "no former generation" in run("rotate-index", "--turn", status=1).stderr
    run("rotate-index")
    assert "`form: equal` goes by generation 1" in run("rotate-index").stderr
    told = run("rotate-index", "--turn").stderr
    assert "`form: equal` goes by generation 2" in told
    assert "run this again once every process has turned" in told
    assert "run this again" not in run("rotate-index", "--turn").stderr
    for words in (["--turn", "--drop"], ["--unproven"]):
        assert "go with --drop" in run("rotate-index", *words, status=2).stderr


def test_a_generation_neither_turns_nor_goes_while_a_process_may_lack_its_state(run: Run) -> None:
    run("rotate-index")
    run("rotate-index")
    Path("sealyard.yaml").write_text(CONFIG, "utf-8")
    for words in (["--turn"], ["--drop", "--unproven", "--yes"]):
        told = run("rotate-index", *words, status=1).stderr
        assert "not known whether all have the last state of the index secrets" in told
        run("rotate-index", *words, "--anyway")


NUMBERS = [str(at) for at in range(1, 11)]
WORDS = [CANARY, *CANARY.split("-"), *NUMBERS]
VALUES = [f"{CANARY} e {at}" for at in NUMBERS]
TAGS = re.compile(r"~((?:[a-z2-7]{5}~|[a-z2-7]{27}~)+)")


def guessed(
    rows: Iterable[tuple[object, ...]], words: Iterable[str] = WORDS, values: Iterable[str] = VALUES
) -> int:
    """Return how many stored values who has the keyring of now knows, by words and values to try.

    A value is known if each of its tags is that of something tried: one of 20 bits may be so by
    chance. The character of the generation is not looked at, since nothing but that is known of a
    generation that is gone.
    """
    root = PassphraseRoot(SecretReference(env="SEALYARD_PASSPHRASE"), SET)
    tried = [
        {one[1:] for one in keys.word_tags(scope, "content", list(words))}
        | {keys.exact_tag(scope, "content", one)[1:] for one in values}
        for secret in open_keyring(Path("keyring.jwe"), root).index
        for keys in [IndexKeys(secret.key, secret.generation)]
        for scope in (Scope("clinic", "c1"), Scope("clinic", "c2"))
    ]
    had = [{tag[1:] for tag in one.split("~")[:-1]} for one in TAGS.findall(str(rows))]
    return sum(any(tags <= known for known in tried) for tags in had)


def test_a_receipt_is_signed_again_once_no_tags_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = a_clinic(tmp_path, monkeypatch)
    with closing(sqlite3.connect(database)) as connection, connection:
        # A string with escapes is sealed as it is spelled, and cannot be indexed.
        connection.execute(r"UPDATE messages SET history = replace(history, '\u00e9', 'e')")
    bare = (tmp_path / "job.yaml").read_text("utf-8")
    job = bare.replace(": content\n      -", ": content\n        index: {words: {}}\n      -")
    job = job.replace("field: content", "field: content\n        index: {exact: {normalize: none}}")
    (tmp_path / "job.yaml").write_text(job, "utf-8")
    (tmp_path / "bare.yaml").write_text(bare, "utf-8")
    invoke("keys", "rotate-index")
    invoke("migrate", "seal", "job.yaml")
    backup = stored(database)
    assert guessed(backup) == 2 * len(backup)
    assert guessed(backup, words=["penicillin"], values=["penicillin"]) == 0
    first = json.loads(invoke("keys", "list", "--json").stdout)["keks"][0]["id"]
    invoke("keys", "promote", invoke("keys", "add").stdout.strip())
    invoke("keys", "disable", first, "--yes")
    invoke("keys", "destroy", first, "--yes", "--anyway", "--receipt", "k1.jws")
    assert guessed(stored(database)) == 2 * len(backup)  # as the receipt says
    time.sleep(1.1)  # a receipt and a report say whole seconds
    renew = ("audit", "renew-receipt", "k1.jws", "--report")
    invoke("migrate", "verify", "bare.yaml", "--report", "has.jws", status=1)
    assert "have tags" in invoke(*renew, "has.jws", status=1).stderr
    invoke("migrate", "verify", "job.yaml", "--report", "tagged.jws", status=1)
    assert "has an `index`" in invoke(*renew, "tagged.jws", status=1).stderr
    invoke("migrate", "index", "job.yaml", "--drop")
    assert guessed(stored(database)) == 0
    invoke("migrate", "verify", "bare.yaml", "--report", "gone.jws", status=1)
    renewed = invoke(*renew, "gone.jws").stdout
    (tmp_path / "new.jws").write_text(renewed, "utf-8")
    told = invoke("audit", "verify-receipt", "new.jws", "--json").stdout
    said, before = json.loads(told), invoke("audit", "verify-receipt", "k1.jws", "--json").stdout
    assert said["kek"] == first
    assert said["tags"]["receipt"] == json.loads(before)["jti"]
    assert any(one.startswith("tags of") for one in json.loads(before)["not_covered"])
    assert not any(one.startswith("tags of") for one in said["not_covered"])
    assert any(one.startswith("values of `form: equal`") for one in said["not_covered"])
    for file, reason in (("new.jws", "older than"), ("gone.jws", "not signed with")):
        again = ("audit", "renew-receipt", file, "--report", "gone.jws")
        assert reason in invoke(*again, status=1).stderr
    # A backup of the backend still has tags: what ends those is the end of their generation.
    invoke("keys", "rotate-index")
    assert guessed(backup) == 2 * len(backup)
    invoke("keys", "rotate-index", "--drop", "--unproven", "--yes", "--anyway")
    assert guessed(backup) == 0
