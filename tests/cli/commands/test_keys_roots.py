"""`sealyard keys roots`: from a passphrase to a file and back, and what is refused on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.config.settings import SecretReference
from proxy.core.errors import KeyringError
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.roots import FileRoot
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from tests.cli.conftest import Run, invoke

PHRASE = "canary of a horse battery"
CONFIG = """\
version: 1
keys:
  keyring: {file: keyring.jwe, roots: [ROOTS]}
listeners: [{name: a, listen: 127.0.0.1:0, upstream: 'http://127.0.0.1:1', unmatched: pass}]
"""
OLD, NEW = "{passphrase: {env: P}}", "{key: {file: root.key}}"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `sealyard keys ...` in an empty folder with a passphrase."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("P", PHRASE)
    configure(OLD)
    invoke("keys", "init")
    invoke("keys", "init", "--keyring", "other.jwe", "--root-file", "root.key")
    Path("other.jwe").unlink()

    def run(*args: str, status: int = 0) -> Any:  # noqa: ANN401 - a result of click
        result = invoke("keys", *args, status=status)
        assert "canary" not in result.output
        return result

    return run


def configure(*roots: str) -> None:
    Path("sealyard.yaml").write_text(CONFIG.replace("ROOTS", ", ".join(roots)))


def opens_with() -> list[str]:
    phrase = PassphraseRoot(SecretReference(env="P"), {"P": PHRASE})
    found = []
    for root in (phrase, FileRoot(SecretReference(file=Path("root.key")))):
        try:
            open_keyring(Path("keyring.jwe"), root)
        except KeyringError:
            continue
        found.append(root.kind)
    return found


def kinds(run: Run) -> list[str]:
    told = json.loads(run("roots", "list", "--json").stdout)
    return [one["kind"] for one in told["wrappings"]]


def test_from_one_root_to_another_without_a_moment_that_nothing_opens(run: Run) -> None:
    ring = open_keyring(
        Path("keyring.jwe"), PassphraseRoot(SecretReference(env="P"), {"P": PHRASE})
    )
    configure(OLD, NEW)
    assert json.loads(run("roots", "add", "--json").stdout) == {
        "added": [{"kind": "file", "key": None}]
    }
    assert opens_with() == ["passphrase", "file"]
    assert kinds(run) == ["passphrase", "file"]
    configure(NEW)
    shown = run("roots", "list").stdout
    assert "passphrase" in shown.splitlines()[0]
    assert "(not configured)" in shown.splitlines()[0]
    old_copy = Path("keyring.jwe").read_bytes()
    run("roots", "remove", "passphrase", "--yes")
    assert opens_with() == ["file"]
    assert kinds(run) == ["file"]
    after = open_keyring(Path("keyring.jwe"), FileRoot(SecretReference(file=Path("root.key"))))
    assert (after.id, after.keks) == (ring.id, ring.keks)
    assert after.generation > ring.generation  # so that the old copy is seen to be older

    # The removed root opens the old copy still, and nothing of the new file.
    old_root = root_key_of(old_copy)
    with pytest.raises(KeyringError):
        form_of(Path("keyring.jwe").read_bytes()).opened(old_root)

    events = [json.loads(line) for line in Path("keyring.jwe.audit").read_text().splitlines()]
    assert [(one["event"], one["kind"]) for one in events if "kind" in one] == [
        ("keys.roots.add", "file"),
        ("keys.roots.remove", "passphrase"),
    ]


def form_of(text: bytes) -> Any:  # noqa: ANN401 - the form, whose module the test need not name
    from proxy.keys.keyring import file  # noqa: PLC0415 - for two lines

    return file.parse(text)


def root_key_of(text: bytes) -> Any:  # noqa: ANN401 - as above
    from proxy.keys.keyring.roots import Roots  # noqa: PLC0415 - for two lines

    form = form_of(text)
    phrase = PassphraseRoot(SecretReference(env="P"), {"P": PHRASE})
    return Roots.of(phrase).unwrap(form.wrappings, form.id).root_key


def refusals(*, configured: tuple[str, ...], command: tuple[str, ...]) -> str:
    configure(*configured)
    before = Path("keyring.jwe").read_bytes()
    result = invoke("keys", "roots", *command, status=1)
    assert Path("keyring.jwe").read_bytes() == before
    return str(result.stderr)


def test_what_would_lock_somebody_out_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    both = (OLD, NEW)
    remove: Callable[[str], tuple[str, ...]] = lambda kind: ("remove", kind, "--yes")  # noqa: E731
    assert "already" in refusals(configured=(OLD,), command=("add",))
    assert "is the last root" in refusals(configured=(NEW,), command=remove("passphrase"))
    assert "no wrapping for `file`" in refusals(configured=(OLD,), command=remove("file"))
    assert "none of the configured roots" in refusals(configured=(NEW,), command=("add",))
    assert "none of the configured roots" in refusals(configured=(NEW,), command=("rewrap",))
    configure(*both)
    run("roots", "add")
    assert "still configured" in refusals(configured=both, command=remove("passphrase"))
    Path("third").mkdir()
    invoke("keys", "init", "--keyring", "third/k.jwe", "--root-file", "third/root.key")
    monkeypatch.setenv("P", "another horse battery")
    others = (OLD, "{key: {file: third/root.key}}")
    assert "does not open" in refusals(configured=others, command=("rewrap",))


def test_what_is_not_confirmed_is_not_done(run: Run) -> None:
    configure(OLD, NEW)
    run("roots", "add")
    configure(NEW)
    before = Path("keyring.jwe").read_bytes()
    refused = invoke("keys", "roots", "remove", "passphrase", status=2)
    assert "`passphrase` no longer opens" in refused.output
    assert Path("keyring.jwe").read_bytes() == before


def test_a_rewrap_makes_a_new_root_key_that_no_older_copy_gives(run: Run) -> None:
    configure(OLD, NEW)
    run("roots", "add")
    old_copy = Path("keyring.jwe").read_bytes()
    run("roots", "rewrap")
    today = Path("keyring.jwe").read_bytes()

    assert opens_with() == ["passphrase", "file"]
    with pytest.raises(KeyringError, match="MAC"):
        form_of(today).opened(root_key_of(old_copy))
    before, after = json.loads(old_copy), json.loads(today)
    assert after["generation"] == before["generation"] + 1  # the old copy is seen to be older
    for one, other in zip(before["wrappings"], after["wrappings"], strict=True):
        assert one["kind"] == other["kind"]
        assert one["jwe"] != other["jwe"]


def test_a_rewrap_asks_for_another_index_secret(run: Run) -> None:
    configure(OLD, NEW)
    run("roots", "add")
    assert "rotate-index" not in run("roots", "rewrap").stderr
    run("rotate-index")
    told = run("roots", "rewrap").stderr
    assert "has generation 1 of the index" in told
    assert "`sealyard keys rotate-index`" in told


def test_a_former_passphrase_with_an_old_copy_does_not_open_what_was_rewrapped(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(OLD, NEW)
    run("roots", "add")
    old_copy = Path("keyring.jwe").read_bytes()
    monkeypatch.setenv("P", "another horse battery")
    run("roots", "rewrap")
    run("add")
    with pytest.raises(KeyringError, match="MAC"):
        form_of(Path("keyring.jwe").read_bytes()).opened(root_key_of(old_copy))
    run("list")


def test_a_rewrap_needs_each_root_of_the_file(run: Run) -> None:
    configure(OLD, NEW)
    run("roots", "add")
    told = refusals(configured=(OLD,), command=("rewrap",))
    assert "`file` is not configured, so it cannot wrap the new root key" in told


def test_a_check_asks_each_root(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(OLD, NEW)
    told = run("roots", "check", status=1).stdout
    assert "`file`: the keyring has no wrapping" in told
    run("roots", "add")
    assert json.loads(run("roots", "check", "--json").stdout)["roots"] == [
        {"kind": "passphrase", "key": None, "opens": True, "reason": ""},
        {"kind": "file", "key": None, "opens": True, "reason": ""},
    ]
    monkeypatch.setenv("P", "another horse battery")
    told = json.loads(run("roots", "check", "--json", status=1).stdout)["roots"]
    assert [(one["kind"], one["opens"]) for one in told] == [("passphrase", False), ("file", True)]
    # The other root opens the file, so the new passphrase can be taken over.
    run("roots", "rewrap")
    run("roots", "check")


def test_the_doctor_asks_each_root(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(OLD, NEW)
    run("roots", "add")
    monkeypatch.setenv("P", "another horse battery")
    told = invoke("doctor", status=3).output

    assert "`passphrase`: the keyring does not open" in told
    assert "`file`: opens" in told
