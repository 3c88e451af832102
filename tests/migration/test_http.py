"""A backend over HTTP, sealed by the rules of a sidecar and taken out again, over real sockets."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import sleep

import pytest
import trustme

from proxy.migration import progress
from tests.cli.conftest import invoke
from tests.migration.backend import CONFIG, JOB, Store, backend
from tests.migration.builders import CANARY
from tests.servers import await_port, child, free_port
from tests.tree import ROOT

SECRET = "Basic canary-authorization"
SET = {
    "CLINIC_AUTHORIZATION": SECRET,
    "PYTHONPATH": str(ROOT),
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Run a backend with ten elements, beside a job, a configuration and a keyring."""
    monkeypatch.chdir(tmp_path)
    for name, value in SET.items():
        monkeypatch.setenv(name, value)
    invoke("keys", "init", "--root-file", "root.key")  # a passphrase takes its time each time
    with backend() as store:
        config = CONFIG.format(port=store.port, listen=free_port())
        (tmp_path / "sealyard.yaml").write_text(config, "utf-8")
        (tmp_path / "job.yaml").write_text(JOB, "utf-8")
        for at in range(10):
            store.put(f"m{at}", an_element(at))
        yield store


def an_element(at: int, text: str = CANARY) -> dict[str, object]:
    return {
        "id": f"m{at}",
        "room": f"r{at % 3}",
        "size": 10**20 + at,
        "content": f"{text} {at}",
        "title": None if at % 2 else f"{text} title",
        "edits": [{"text": f"{text} edit", "at": at}, {"at": 1.50}],
    }


def change_job(old: str, new: str) -> None:
    job = Path("job.yaml")
    assert old in job.read_text("utf-8")
    job.write_text(job.read_text("utf-8").replace(old, new), "utf-8")


def counts(output: str) -> dict[str, int]:
    said = json.loads(output.splitlines()[-1])
    found: Counter[str] = Counter()
    for label, state, _, _, count in said["values"]:
        found[f"{label} {state}"] += count
    return dict(found)


def migrate(verb: str, *more: str, status: int = 0) -> dict[str, int]:
    return counts(invoke("migrate", verb, "job.yaml", "--json", *more, status=status).stdout)


def test_a_backend_is_sealed_proven_and_taken_out_again(store: Store) -> None:
    before = dict(store.elements)
    planned = migrate("plan")
    assert store.writes() == []
    assert planned == {
        "items $.content plain": 10,
        "items $.title plain": 5,
        "items $.edits[*].text plain": 10,
    }
    migrate("verify", status=1)
    migrate("seal")
    assert CANARY not in str(store.elements)
    proven = invoke("migrate", "verify", "job.yaml", "--json")
    assert json.loads(proven.stdout)["proof"] == "pages"
    assert counts(proven.stdout) == {
        one.replace("plain", "sealed"): n for one, n in planned.items()
    }
    writes = len(store.writes())
    assert migrate("seal") == counts(proven.stdout)
    assert len(store.writes()) == writes
    migrate("open")

    assert store.elements == before


@pytest.mark.parametrize("total", ["X-Total", "content-range", "$.total"])
@pytest.mark.parametrize("heads", [True, False])
def test_the_time_left_is_known_where_the_list_says_how_many_there_are(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    total: str,
    heads: bool,  # noqa: FBT001 - a parameter
) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    store.heads = heads
    change_job("    write:", f"    total: {total}\n    write:")
    told = [json.loads(line) for line in invoke("migrate", "plan", "job.yaml").stderr.splitlines()]

    assert [(one["rows"], one["of"]) for one in told] == [(3, 10), (6, 10), (9, 10), (10, 10)]
    assert told[-1]["seconds_left"] == 0


@pytest.mark.parametrize("verb", ["plan", "seal", "verify"])
def test_fewer_elements_than_the_list_says_it_has_are_told(store: Store, verb: str) -> None:
    change_job("    write:", "    total: X-Total\n    write:")
    status = 1 if verb == "verify" else 0
    every = invoke("migrate", verb, "job.yaml", status=status)
    change_job("from: $.next", "from: $.nxet")
    status = 0 if verb == "plan" else status
    Path("job.yaml.seal.state").unlink(missing_ok=True)
    some = invoke("migrate", verb, "job.yaml", status=status)
    as_json = json.loads(invoke("migrate", verb, "job.yaml", "--json", status=status).stdout)

    said = "items: the list says that it has 10 elements, and 3 were read: see `next`"
    assert said not in every.output
    assert said in some.stdout.splitlines()
    assert said in as_json["advice"]


@pytest.mark.parametrize("total", ["X-Nothing", "Link", "$.nothing", "$.room", "$.items"])
def test_a_total_that_is_none_is_not_needed(
    store: Store, monkeypatch: pytest.MonkeyPatch, total: str
) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    change_job("    write:", f"    total: {total}\n    write:")
    told = invoke("migrate", "seal", "job.yaml").stderr.splitlines()

    assert {json.loads(line)["of"] for line in told} == {None}


@pytest.mark.parametrize(
    ("guard", "requests"),
    [("{etag: '/items/{id}'}", 2), ("{if_match: '\"{size}\"'}", 1)],
)
def test_a_plan_says_how_long_the_requests_take(store: Store, guard: str, requests: int) -> None:
    change_job("{etag: '/items/{id}'}", guard)
    store.before = lambda _, path: sleep(0.05) if path.startswith("/items/") else None
    told = json.loads(invoke("migrate", "plan", "job.yaml", "--json").stdout)

    assert told["seconds"] >= 0.5 * requests  # ten rows
    assert store.writes() == []


def test_a_plan_needs_no_time_for_what_is_sealed_and_knows_none_without_reading(
    store: Store,
) -> None:
    store.before = lambda _, path: (404, {}) if path.startswith("/items/") else None
    told = json.loads(invoke("migrate", "plan", "job.yaml", "--json").stdout)
    store.before = lambda *_: None
    migrate("seal")
    store.before = lambda _, path: (404, {}) if path.startswith("/items/") else None
    again = json.loads(invoke("migrate", "plan", "job.yaml", "--json").stdout)

    assert told["seconds"] is None
    assert "is not known" in told["advice"][-1]
    assert again["seconds"] is not None


def test_credentials_go_to_the_backend_and_nowhere_else(store: Store, tmp_path: Path) -> None:
    said = ""
    for verb, status in (("plan", 0), ("seal", 0), ("verify", 0), ("reseal", 0), ("open", 0)):
        said += invoke("migrate", verb, "job.yaml", "--report", f"{verb}.jws", status=status).output
    kept = "".join(one.read_text("latin-1") for one in tmp_path.iterdir() if one.is_file())

    assert {headers["Authorization"] for _, _, headers in store.requests} == {SECRET}
    assert "25" in said or "10" in said
    assert CANARY not in said + kept
    assert "canary-authorization" not in said + kept


@pytest.mark.parametrize(
    "following",
    [
        "{cursor: after, from: $.next}",
        "{cursor: after, last: id}",
        "{page: page}",
        "{link: Link}",
    ],
)
def test_every_way_of_paging_reaches_every_element(store: Store, following: str) -> None:
    change_job("{cursor: after, from: $.next}", following)
    if "Link" in following:
        change_job("list: /items", "list: /items?org=clinic")
    migrate("seal")

    assert migrate("verify")["items $.content sealed"] == 10
    assert CANARY not in str(store.elements)


@pytest.mark.parametrize(
    "following",
    ["{cursor: after, from: $.next}", pytest.param("{page: page}", marks=pytest.mark.slow)],
)
def test_a_run_may_be_killed_at_every_border_of_pages(store: Store, following: str) -> None:
    change_job("{cursor: after, from: $.next}", following)
    before = dict(store.elements)
    for verb in ("seal", "open"):
        for pages in (1, 2, 1):
            assert killed(verb, pages) == -signal.SIGKILL
        assert killed(verb, 0) == 0
        if verb == "seal":
            assert CANARY not in str(store.elements)
            assert migrate("verify")["items $.content sealed"] == 10

    assert store.elements == before


def killed(verb: str, pages: int) -> int:
    """Run a verb in a process that kills itself when so many pages are written; 0: never."""
    command = [sys.executable, "-P", "-m", "tests.migration.killed", "job.yaml", verb, str(pages)]
    return subprocess.run(command, env=os.environ | SET, check=False, timeout=60).returncode  # noqa: S603 - ourselves


def test_a_row_changed_meanwhile_is_read_again_and_sealed(store: Store) -> None:
    changed: list[str] = []

    def before(method: str, path: str) -> None:
        if method == "PUT" and path == "/items/m4" and len(changed) < 2:
            changed.append(path)
            store.put("m4", an_element(4, f"{CANARY} theirs {len(changed)}"))

    store.before = before
    migrate("seal")
    store.before = lambda *_: None
    migrate("open")

    assert len(changed) == 2
    assert json.loads(store.elements["m4"]) == an_element(4, f"{CANARY} theirs 2")


def test_a_row_that_changes_each_time_is_left_and_counted(store: Store) -> None:
    written: list[str] = []

    def before(method: str, path: str) -> None:
        if method == "PUT" and path == "/items/m4":
            written.append(f"{CANARY} theirs {len(written)}")
            store.put("m4", an_element(4, written[-1]))

    store.before = before
    found = migrate("seal", status=1)

    assert found["items $.content changed"] == 1
    assert found["items $.content sealed-now"] == 9
    assert json.loads(store.elements["m4"])["content"] == f"{written[-1]} 4"


@pytest.mark.parametrize("following", ["{cursor: after, from: $.next}", "{page: page}"])
def test_a_changed_row_is_found_again_where_an_insertion_has_moved_it(
    store: Store, following: str
) -> None:
    change_job("{cursor: after, from: $.next}", following)
    changed: list[str] = []

    def before(method: str, path: str) -> None:
        if method == "PUT" and path == "/items/m5" and not changed:
            changed.append(path)
            store.put("m3a", an_element(3, "theirs") | {"id": "m3a"})
            store.put("m5", an_element(5, f"{CANARY} theirs"))

    store.before = before
    found = migrate("seal")

    assert found["items $.content sealed-now"] >= 10
    assert json.loads(store.elements["m5"])["content"].startswith("eyJ")
    assert CANARY not in str(store.elements)


def test_a_row_deleted_meanwhile_is_no_row(store: Store) -> None:
    def before(method: str, path: str) -> None:
        if path == "/items/m4":
            store.elements.pop("m4", None)

    store.before = before

    assert migrate("seal")["items $.content sealed-now"] == 9


def test_a_backend_that_ignores_preconditions_is_not_written(store: Store) -> None:
    store.checks = False
    before = {one: json.loads(text) for one, text in store.elements.items()}
    failed = invoke("migrate", "seal", "job.yaml", status=3)

    assert "precondition-ignored" in failed.output
    assert {one: json.loads(text) for one, text in store.elements.items()} == before


def test_a_backend_may_check_one_precondition_and_ignore_another(store: Store) -> None:
    store.untagged = frozenset({"m2"})
    failed = invoke("migrate", "seal", "job.yaml", status=3)

    assert "precondition-ignored: If-Unmodified-Since does not keep it" in failed.output
    assert CANARY not in str(store.elements["m1"])
    assert json.loads(store.elements["m2"]) == an_element(2)


def test_a_backend_without_preconditions_is_compared_and_a_plan_says_what_that_is_worth(
    store: Store,
) -> None:
    store.checks = False
    change_job("{etag:", "{compare:")
    assert "is lost" in invoke("migrate", "plan", "job.yaml").output
    changed: list[str] = []

    def before(method: str, path: str) -> None:
        if (method, path) == ("GET", "/items/m4") and not changed:
            changed.append(path)
            store.put("m4", an_element(4, f"{CANARY} theirs"))

    store.before = before
    migrate("seal")
    migrate("verify")
    store.before = lambda *_: None
    migrate("open")

    assert json.loads(store.elements["m4"]) == an_element(4, f"{CANARY} theirs")


def test_a_tag_that_is_weak_guards_nothing(store: Store) -> None:
    store.etag = 'W/"{}"'

    assert "no-validator" in invoke("migrate", "seal", "job.yaml", status=3).output
    assert store.writes() == []


def test_members_of_the_list_can_be_the_precondition(store: Store) -> None:
    change_job("{etag: '/items/{id}'}", "{if_match: '\"{version}\"'}")
    change_job("write:", "without: [version]\n    write:")
    for at in range(10):
        store.put(f"m{at}", an_element(at) | {"version": 2})
    store.put("m3", an_element(3, "theirs") | {"version": 2})
    found = migrate("seal", status=1)

    assert found["items $.content changed"] == 1
    assert found["items $.content sealed-now"] == 9


def test_what_the_backend_does_not_take_is_left_and_the_rest_is_sealed(store: Store) -> None:
    store.put("m4", an_element(4, CANARY * 2500))
    found = migrate("seal", status=1)

    assert found["items $.content refused"] == 1
    assert found["items $.content sealed-now"] == 9
    assert found["items $.title too-long"] == 1


def test_a_patch_has_only_what_it_is_to_change(store: Store) -> None:
    before = {one: json.loads(text) for one, text in store.elements.items()}
    change_job("write: PUT", "members: [room, content, title, edits]\n    write: PATCH")
    migrate("seal")
    sealed = json.loads(store.elements["m4"])
    migrate("open")

    assert sealed["size"] == an_element(4)["size"]
    assert {*json.loads(store.bodies[0])} == {"room", "content", "title", "edits"}
    assert sealed["content"].startswith("eyJ")
    assert sealed["title"].startswith("sy1.")
    assert {one: json.loads(text) for one, text in store.elements.items()} == before


def test_a_patch_that_would_delete_a_member_is_not_sent(store: Store) -> None:
    element = an_element(4) | {"edits": {"0": {"text": CANARY, "by": None}}}
    store.put("m4", element)
    change_job("write: PUT", "write: PATCH")

    assert migrate("seal", status=1)["items unfit"] == 1
    assert json.loads(store.elements["m4"]) == element


def test_an_element_that_the_rule_would_refuse_is_left(store: Store) -> None:
    store.put("m4", an_element(4) | {"another": 1})
    store.put("m5", {"id": "m5", "room": "r1"})
    found = migrate("seal", status=1)

    assert found["items unfit"] == 2
    assert found["items $.content sealed-now"] == 8


def test_a_token_that_was_moved_is_found(store: Store) -> None:
    migrate("seal")
    element = json.loads(store.elements["m4"])
    store.put("m5", json.loads(store.elements["m5"]) | {"content": element["content"]})
    store.put("m6", json.loads(store.elements["m6"]) | {"room": "r2"})
    found = migrate("verify", status=1)

    assert found["items $.content unreadable"] == 2


def test_reseal_leaves_nothing_under_the_old_kek(store: Store) -> None:
    before = dict(store.elements)
    migrate("seal")
    invoke("keys", "add", "--id", "new")
    listed = json.loads(invoke("keys", "list", "--json").stdout)
    (new,) = (one["id"] for one in listed["keks"] if one["id"].startswith("new-"))
    invoke("keys", "promote", new)
    migrate("reseal")
    proven = json.loads(invoke("migrate", "verify", "job.yaml", "--json").stdout)
    migrate("open")

    assert {kek for _, _, kek, _, _ in proven["values"]} == {new}
    assert store.elements == before


Told = tuple[int, dict[str, str]]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ((302, {"Location": "http://127.0.0.1:1/items"}), "redirects are not followed"),
        ((401, {}), "status 401"),
        ((500, {}), "status 500"),
        ((200, {"Content-Encoding": "gzip"}), "answer-encoded"),
        ((200, {"Content-Length": "9"}), "answer-cut"),
    ],
)
def test_an_answer_that_cannot_be_used_ends_the_run(
    store: Store, told: Told, expected: str
) -> None:
    def before(method: str, path: str) -> Told | None:
        if "Content-Length" in told[1]:
            told[1]["Connection"] = "close"
        return told if path == "/items?after=m2" else None

    store.before = before
    failed = invoke("migrate", "seal", "job.yaml", status=3)

    assert expected in failed.output
    assert "3 rows" in invoke("migrate", "status", "job.yaml").output
    store.before = lambda *_: None
    migrate("seal")
    assert migrate("verify")["items $.content sealed"] == 10


def test_a_backend_that_is_busy_is_asked_again_when_it_says(store: Store) -> None:
    asked: list[str] = []

    def before(method: str, path: str) -> Told | None:
        asked.append(path)
        return (503, {"Retry-After": "0"}) if len(asked) % 3 == 0 else None

    store.before = before
    migrate("seal")
    store.before = lambda *_: None

    assert migrate("verify")["items $.content sealed"] == 10


def test_a_write_without_a_precondition_is_compared_again_after_the_backend_was_busy(
    store: Store,
) -> None:
    change_job("{etag:", "{compare:")
    asked: list[str] = []

    def before(method: str, path: str) -> Told | None:
        if method == "PUT" and path == "/items/m4" and not asked:
            asked.append(path)
            store.put("m4", an_element(4, f"{CANARY} theirs"))
            return 503, {"Retry-After": "0"}
        return None

    store.before = before
    migrate("seal")
    store.before = lambda *_: None
    migrate("open")

    assert json.loads(store.elements["m4"]) == an_element(4, f"{CANARY} theirs")


def test_a_member_that_would_be_every_tag_is_no_precondition(store: Store) -> None:
    change_job("{etag: '/items/{id}'}", "{if_match: '\"{version}\"'}")
    for at in range(10):
        store.put(f"m{at}", an_element(at) | {"version": '1", *, "'})

    assert "no-precondition" in invoke("migrate", "seal", "job.yaml", status=3).output
    assert store.writes() == []


def test_a_list_that_has_no_end_is_noticed(store: Store) -> None:
    change_job("{cursor: after, from: $.next}", "{cursor: ignored, from: $.next}")

    assert "page-repeats" in invoke("migrate", "plan", "job.yaml", status=3).output


@pytest.mark.parametrize("following", ["{cursor: after, from: $.next}", "{link: $.next}"])
@pytest.mark.parametrize("found", [{"href": "/items?after=m2"}, ["m2", "m3"], 1700000000.5, True])
def test_what_leads_nowhere_is_not_taken_for_the_end_of_the_list(
    store: Store, following: str, found: object
) -> None:
    change_job("{cursor: after, from: $.next}", following)
    store.spell = lambda _: found
    failed = invoke("migrate", "seal", "job.yaml", status=3)

    assert "next-not-text: items: see `next`" in failed.output


def test_more_than_one_next_is_not_taken_for_the_end_of_the_list(store: Store) -> None:
    change_job("from: $.next", "from: '$.next[*]'")
    store.spell = lambda name: [name, name]

    assert "next-not-text" in invoke("migrate", "seal", "job.yaml", status=3).output


def test_an_empty_next_is_the_end_of_the_list(store: Store) -> None:
    store.spell = lambda name: name or ""

    assert migrate("seal")["items $.content sealed-now"] == 10


def test_a_link_out_of_the_list_is_not_followed(store: Store) -> None:
    change_job("{cursor: after, from: $.next}", "{link: $.next}")
    store.put("m2", an_element(2) | {"id": "m2"})
    store.elements = {f"http://other.example/{one}": text for one, text in store.elements.items()}

    failed = invoke("migrate", "plan", "job.yaml", status=3)

    assert "link-leaves-the-list" in failed.output or "link-refused" in failed.output
    assert len(store.requests) == 1


@pytest.mark.parametrize("name", ["a?b", "ü", "a b", "{id}"])
def test_an_id_is_one_segment_of_the_address(store: Store, name: str) -> None:
    store.elements = {}
    store.put(name, an_element(1) | {"id": name})

    assert migrate("seal")["items $.content sealed-now"] == 1
    assert store.elements[name].count(b"eyJ0eXAiOiJzeTEi") == 2


@pytest.mark.parametrize("name", ["a/b", "%2e"])
def test_an_id_that_has_two_readings_in_a_path_is_left(store: Store, name: str) -> None:
    store.elements = {}
    store.put(name, an_element(1) | {"id": name})

    assert migrate("seal", status=1)["items unfit"] == 1
    assert store.writes() == []


def test_an_id_that_leads_to_another_path_ends_the_run(store: Store) -> None:
    store.elements = {}
    store.put("..", an_element(1) | {"id": ".."})

    assert "no-address" in invoke("migrate", "seal", "job.yaml", status=3).output


def test_a_rule_that_only_observes_says_what_is_sealed(store: Store) -> None:
    config = Path("sealyard.yaml")
    text = config.read_text("utf-8").replace(
        "- name: write", "- name: write\n        mode: observe"
    )
    config.write_text(text, "utf-8")
    migrate("seal")

    assert CANARY not in str(store.elements)


def test_the_state_of_other_rules_is_refused(store: Store) -> None:
    store.before = lambda _, path: (500, {}) if path == "/items?after=m2" else None
    invoke("migrate", "seal", "job.yaml", status=3)
    config = Path("sealyard.yaml")
    config.write_text(config.read_text("utf-8") + "# changed\n", "utf-8")

    assert "another job" in invoke("migrate", "seal", "job.yaml", status=3).output


def test_a_backend_that_is_not_there_is_said(store: Store) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(backend()).port
    config = Path("sealyard.yaml")
    config.write_text(config.read_text("utf-8").replace(str(store.port), str(port)), "utf-8")

    assert "connection-refused" in invoke("migrate", "plan", "job.yaml", status=3).output


@pytest.mark.parametrize(
    "element",
    [
        b'{"id":"m4" , "room":"r", "size":1e2, "content":"\\u00e9 \\/", "title":"\\ud83c\\udf0d"}',
        b'{"edits":[{"text":{"deep":[1, 2.50]}}, {},{"text":"x"}],"content":"","id":"m4","room":7}',
        b'{"id":"m4","room":"r1","content":"","title":"eyJ looks like one","edits":[]}',
    ],
)
def test_what_is_written_is_what_the_sidecar_sends(
    store: Store, tmp_path: Path, element: bytes
) -> None:
    config = tmp_path / "sealyard.yaml"
    port = int(re.findall(r"listen: 127.0.0.1:(\d+)", config.read_text("utf-8"))[0])
    command = [sys.executable, "-P", "-m", "proxy", "serve", "--config", str(config)]
    store.put("m4", element)
    with child(command, tmp_path / "serve.log", SET) as process:
        await_port(process, port, tmp_path / "serve.log")
        ask(port, "PUT", element)
        theirs = store.elements["m4"]
        store.put("m4", element)
        migrate("seal")
        ours = store.elements["m4"]
        opened = ask(port, "GET")

    assert masked(ours) == masked(theirs)
    assert masked(ours) != masked(element)
    assert json.loads(opened) == json.loads(element)


def ask(port: int, method: str, body: bytes | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"X-Org": "clinic", "Content-Type": "application/json"}
    connection.request(method, "/items/m4", body, headers)
    with connection.getresponse() as response:
        assert response.status == 200
        read = response.read()
    connection.close()
    return read


def masked(text: bytes) -> bytes:
    """Return a body with the length of each token in its place."""
    return re.sub(
        rb'"(eyJ0|sy1\.)[\w.-]+"', lambda found: b"%b%d" % (found[1], len(found[0])), text
    )


def test_an_answer_that_is_too_long_ends_the_run(store: Store) -> None:
    store.put("m4", an_element(4, "x" * (17 << 20)))

    assert "answer-too-long" in invoke("migrate", "plan", "job.yaml", status=3).output


def test_tls_is_that_of_the_configuration(store: Store, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("clinic.test").configure_cert(context)
    config = tmp_path / "sealyard.yaml"
    plain = config.read_text("utf-8")
    with backend(context) as secure:
        secure.put("m1", an_element(1))
        tls = "upstream_tls: {{ca: {}, server_name: {}}}"
        upstream = f"upstream: https://127.0.0.1:{secure.port}\n    "

        def upstream_by(file: str, name: str) -> None:
            old = f"upstream: http://127.0.0.1:{store.port}"
            config.write_text(plain.replace(old, upstream + tls.format(file, name)), "utf-8")

        for file, name in (("other.pem", "clinic.test"), ("ca.pem", "other.test")):
            upstream_by(file, name)
            refused = invoke("migrate", "plan", "job.yaml", status=3)
            assert "certificate-not-trusted" in refused.output
        assert secure.requests == []
        upstream_by("ca.pem", "clinic.test")

        assert migrate("seal")["items $.content sealed-now"] == 1


def test_a_backend_at_a_unix_socket_is_migrated(store: Store, tmp_path: Path) -> None:
    config = tmp_path / "sealyard.yaml"
    text = config.read_text("utf-8").replace(f"http://127.0.0.1:{store.port}", "unix:backend")
    config.write_text(text, "utf-8")
    with backend(socket=Path("backend")) as local:
        local.put("m1", an_element(1))

        assert migrate("seal")["items $.content sealed-now"] == 1
