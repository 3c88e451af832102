"""What a rule makes of a listed element, without a backend."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import UnfitValue
from proxy.core.search.model import WordsIndex
from proxy.core.search.tags import IndexKeys, listed
from proxy.core.values.table import splice
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.sessions.durable import durable_session
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.stores import MemoryStore
from proxy.migration.job.collections import HttpCollection
from proxy.migration.job.model import Verb
from proxy.migration.job.places import Http
from proxy.migration.job.reader import load
from proxy.migration.values.rule_treatment import ListedRow, RuleTreatment
from proxy.migration.values.sealing import RunSessions
from proxy.migration.values.states import Outcome
from proxy.migration.values.tag_members import taken_out
from proxy.migration.values.treatment import Key, Treated
from proxy.migration.values.write_body import Segment, WriteBody
from tests.factories import an_item
from tests.keys.builders import NOW, a_keyring

CONFIG = """\
version: 1
keys:
  keyring: {file: keyring.jwe, passphrase: {env: SEALYARD_PASSPHRASE}}
  store: memory
  sessions: {mode: durable, ttl: 1h, grace: 1h}
listeners:
  - name: clinic
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:8888
    unmatched: pass
    defaults: {others: pass, tenant: const:clinic, bind: [tenant]}
    rules:
      - name: write
        match: PUT /items/{id}
        request:
          encrypt:
            - optional $.data.content
            - optional $.data.payload json:$.note
            - {select: $.data.brief, optional: true, expires: 7d}
          nothing: pass
      - name: list
        match: GET /items
        response: {decrypt: tokens, on_error: keep}
"""
JOB = """\
version: 1
source: {http: {config: sealyard.yaml}}
collections:
  - collection: items
    list: /items
    items: $.items[*]
    write: PUT /items/{id}
    body: $.data
    guard: {etag: '/items/{id}'}
"""
CONTEXT = Context(Scope("clinic"))
KEY: Key = ("/items/m1",)


class Rules:
    """The rules of a configuration, with one keyring."""

    def __init__(self, folder: Path, config: str = CONFIG, job: str = JOB) -> None:
        (folder / "sealyard.yaml").write_text(config, "utf-8")
        (folder / "job.yaml").write_text(job, "utf-8")
        read = load(folder / "job.yaml", {})
        assert isinstance(read.place, Http)
        (collection,) = read.tables
        assert isinstance(collection, HttpCollection)
        self.rules, self.collection = read.place.rules, collection
        self.keyring: Keyring = a_keyring("k2")

    def token(self, text: str, exp: int | None = None) -> str:
        session = durable_session(
            self.keyring.primary, NOW.to_bytes(4) + b"12345678", CONTEXT.scope
        )
        return session.seal(text.encode(), CONTEXT, exp=exp).decode()

    async def treat(self, verb: Verb, element: object) -> Treated:
        clock = lambda: float(NOW)  # noqa: E731 - shorter than a function of three lines
        sessions = Sessions(
            self.keyring, MemoryStore(clock), SessionSettings(), clock=clock, random=os.urandom
        )
        treatment = RuleTreatment(
            self.rules,
            (),
            self.collection,
            verb=verb,
            sessions=sessions,
            sealing=RunSessions(self.keyring, clock=clock, random=os.urandom),
        )
        text = element if isinstance(element, bytes) else json.dumps(element).encode()
        listed = ListedRow(
            "/items/m1", "/items", "application/json", text, b'{"items": [', b'], "n": 1}'
        )
        (one,) = await treatment.treat([listed.row(KEY)])
        return one

    def outcomes(self, one: Treated) -> dict[str, Outcome]:
        labels = self.collection.labels
        return {labels[at]: outcome for at, outcome in one.kept} | {
            labels[changed.column]: changed.after for changed in one.changed
        }

    def written(self, one: Treated) -> object:
        (body,) = one.cells
        assert body is not None
        return json.loads(body)["data"]


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    return Rules(tmp_path)


async def test_a_value_in_json_in_a_string_is_sealed_and_comes_back(rules: Rules) -> None:
    payload = json.dumps({"note": 'say "é" to nobody', "at": 1.5}, ensure_ascii=False)
    element = {"payload": payload, "content": [1, {"a": "b"}]}
    sealed = await rules.treat("seal", element)
    made = rules.written(sealed)
    assert isinstance(made, dict)
    assert "to nobody" not in json.dumps(made)
    verified = await rules.treat("verify", made)
    opened = await rules.treat("open", made)

    assert {one.state for one in rules.outcomes(verified).values()} == {"sealed"}
    assert rules.written(opened) == element


async def test_a_token_where_no_rule_seals_is_former_and_open_takes_it_out(rules: Rules) -> None:
    element = {"content": "x", "other": [rules.token("moved")]}
    sealed = await rules.treat("seal", element)
    opened = await rules.treat("open", rules.written(sealed))
    resealed = await rules.treat("reseal", element)

    assert rules.outcomes(sealed)["items elsewhere"] == Outcome("former", "k1")
    assert rules.written(opened) == {"content": "x", "other": ["moved"]}
    assert rules.outcomes(resealed)["items elsewhere"] == Outcome("former", "k1")


async def test_a_token_within_a_text_is_part_of_that_text_until_it_is_taken_out(
    rules: Rules,
) -> None:
    element = {"content": f"see {rules.token('this')} there"}
    verified = await rules.treat("verify", element)
    sealed = await rules.treat("seal", element)
    opened = await rules.treat("open", element)

    assert rules.outcomes(verified) == {
        "items $.data.content": Outcome("plain", "", "holds-a-token")
    }
    assert rules.outcomes(sealed) == {"items $.data.content": Outcome("sealed-now", "k1")}
    assert rules.written(opened) == {"content": "see this there"}
    assert rules.outcomes(opened)["items $.data.content"] == Outcome("plain")


async def test_what_is_sealed_as_the_write_says_and_not_opened_by_the_list_is_misplaced(
    tmp_path: Path,
) -> None:
    rules = Rules(
        tmp_path, CONFIG.replace("decrypt: tokens", "decrypt: 'optional $.items[*].brief'")
    )
    one = await rules.treat("verify", {"content": rules.token("x"), "brief": rules.token("y")})

    assert rules.outcomes(one) == {
        "items $.data.content": Outcome("misplaced", "k1", "not-read"),
        "items $.data.brief": Outcome("sealed", "k1"),
    }


async def test_a_token_with_an_end_is_not_sealed_anew(rules: Rules) -> None:
    token = rules.token("x", exp=NOW + 100)
    rules.keyring = rules.keyring.promote("k2")
    one = await rules.treat("reseal", {"brief": token, "content": rules.token("y")})
    old = await rules.treat("reseal", {"brief": token})

    assert rules.outcomes(one)["items $.data.brief"] == Outcome("unfit", "k1", "token-ends")
    assert old.cells == [None]


async def test_what_looks_like_a_token_is_sealed_only_on_demand(tmp_path: Path) -> None:
    rules = Rules(tmp_path)
    demanded = Rules(tmp_path, job=JOB + "    lookalikes: seal\n")
    element = {"content": "sy1. is a name"}
    left = await rules.treat("seal", element)
    sealed = await demanded.treat("seal", element)
    opened = await demanded.treat("open", demanded.written(sealed))

    assert rules.outcomes(left)["items $.data.content"].state == "unreadable"
    assert demanded.written(opened) == element


@pytest.mark.parametrize("element", [b"{", b'{"content": "a", "content": "b"}', b"\xff"])
async def test_what_is_no_strict_json_is_left(rules: Rules, element: bytes) -> None:
    one = await rules.treat("seal", element)

    assert one.changed == []
    assert rules.outcomes(one)["items"].state == "unfit"


ASKING = (
    CONFIG.replace("bind: [tenant]", "bind: [tenant, conversation]")[
        : CONFIG.index("      - name: write") + len(", conversation")
    ]
    + """\
      - name: write
        match: PUT /items/{id}
        conversation: {ask: 'GET /items/{id}', select: $.room}
        request: {records: one-or-many $.data, encrypt: $.content}
      - name: list
        match: GET /items
        response:
          conversation: '$.items[*].room'
          decrypt: tokens
          accept_unbound: true
"""
)


async def test_what_a_rule_asks_for_is_read_from_the_list(tmp_path: Path) -> None:
    rules = Rules(tmp_path, ASKING)
    sealed = await rules.treat("seal", {"content": "hello", "room": "c1"})
    made = rules.written(sealed)
    assert isinstance(made, dict)
    verified = await rules.treat("verify", made)
    opened = await rules.treat("open", made)
    moved = await rules.treat("verify", {**made, "room": "c2"})

    assert made["content"].startswith("eyJ")
    assert {one.state for one in rules.outcomes(verified).values()} == {"sealed"}
    assert rules.written(opened) == {"content": "hello", "room": "c1"}
    assert {one.state for one in rules.outcomes(moved).values()} == {"unreadable"}
    nameless = await rules.treat("seal", {"content": "hello"})
    assert [one.state for _, one in nameless.kept] == ["unfit"]


INDEXED = (
    CONFIG.replace("listeners:", "fields: {content: {index: {words: {}}}}\nlisteners:")
    .replace(
        "- optional $.data.content", "- {select: $.data.content, optional: true, index: WHERE}"
    )
    .replace("- optional $.data.payload json:$.note", "- optional $.data.note")
)


async def test_tokens_get_the_tags_that_the_rule_of_the_write_asks_for(tmp_path: Path) -> None:
    rules = Rules(tmp_path, INDEXED.replace("WHERE", "behind"))
    rules.keyring = rules.keyring.rotate_index(now=NOW, random=lambda size: b"i" * size)
    keys = IndexKeys(rules.keyring.index[0].key, 1)
    tags = listed(keys.word_tags(CONTEXT.scope, "content", ["call", "ann"]))
    bare, note = rules.token("Call Ann"), rules.token("a note")
    element = {"id": "m1", "content": bare, "note": note}
    assert states(await rules.treat("verify", element)) == {"untagged", "sealed"}
    made = await rules.treat("index", element)
    assert json.loads(made.cells[0] or b"")["data"]["content"] == bare + tags
    assert json.loads(made.cells[0] or b"")["data"]["note"] == note
    tagged = {**element, "content": bare + tags}
    for verb in ("index", "verify"):
        kept = await rules.treat(verb, tagged)
        assert (states(kept), kept.changed) == ({"sealed"}, [])
    dropped = await rules.treat("drop-index", tagged)
    assert json.loads(dropped.cells[0] or b"")["data"]["content"] == bare
    opened = await rules.treat("open", tagged)
    assert json.loads(opened.cells[0] or b"")["data"]["content"] == "Call Ann"


def in_a_member(folder: Path) -> tuple[Rules, str]:
    """Return rules that keep tags in a member, and those of two words."""
    config = INDEXED.replace("WHERE", "{as: $.data.tags}").replace("others: pass, ", "")
    config = config.replace("request:\n", "request:\n          plain: [$.data.id]\n")
    rules = Rules(folder, config)
    rules.keyring = rules.keyring.rotate_index(now=NOW, random=lambda size: b"i" * size)
    keys = IndexKeys(rules.keyring.index[0].key, 1)
    return rules, listed(keys.word_tags(CONTEXT.scope, "content", ["call", "ann"]))


@pytest.mark.parametrize(
    "had", [{}, {"tags": ""}, {"tags": None}, {"tags": "~"}, {"tags": "~zzzzz~"}]
)
@pytest.mark.parametrize("first", [True, False])
async def test_tags_in_a_member_are_written_proven_and_dropped(
    tmp_path: Path, had: dict[str, str | None], *, first: bool
) -> None:
    rules, tags = in_a_member(tmp_path)
    bare = rules.token("Call Ann")

    def row(members: dict[str, str | None], content: str = bare) -> dict[str, object]:
        rest = {"id": "m1", "content": content}
        return {**members, **rest} if first else {**rest, **members}

    def written(made: Treated) -> dict[str, object]:
        found: dict[str, object] = json.loads(made.cells[0] or b"{}").get("data")
        return found

    assert states(await rules.treat("verify", row(had))) == {"untagged"}
    made = await rules.treat("index", row(had))
    assert written(made) == {"id": "m1", "content": bare, "tags": tags}
    tagged = row({"tags": tags})
    unchanging: list[Verb] = ["index", "verify"]
    for verb in unchanging:
        kept = await rules.treat(verb, tagged)
        assert (states(kept), kept.changed, kept.cells) == ({"sealed"}, [], [None])
    left: list[tuple[Verb, str]] = [("drop-index", bare), ("open", "Call Ann")]
    for verb, content in left:
        made = await rules.treat(verb, tagged)
        assert written(made) == {"id": "m1", "content": content, "tags": "~"}
    again = await rules.treat("drop-index", row(had))
    assert bool(again.changed) == (had == {"tags": "~zzzzz~"})
    made = await rules.treat("seal", row(had, "Call Ann"))
    assert written(made)["tags"] == tags


@pytest.mark.parametrize("held", ["mine", {"a": "~zzzzz~"}, ["~zzzzz~"]])
async def test_a_member_that_holds_no_tags_is_not_overwritten(tmp_path: Path, held: object) -> None:
    rules, _ = in_a_member(tmp_path)
    element = {"id": "m1", "content": rules.token("Call Ann"), "tags": held}
    made = await rules.treat("index", element)
    assert (states(made), made.cells) == ({"unfit"}, [])


def test_members_are_taken_out_wherever_they_stand() -> None:
    item = replace(an_item("$.all.*.c"), index=WordsIndex(), tags_member="t")
    text = b'{"all":[{"t":"~" , "c":1},{"c":2,"t":null},{ "c":3, "t" : "~abcde~", "d":4},{"c":5}]}'
    segments = (Segment(0, len(text), 0),)
    body, holders = taken_out(WriteBody(text, segments), [item, replace(item, field="other")])
    assert body.text == b'{"all":[{ "c":1},{"c":2},{ "c":3, "d":4},{"c":5}]}'
    assert [one.raw for one in holders] == [b'"~"', b"null", b'"~abcde~"', None]
    for number in b"1235":
        start = text.index(b'"c":%c' % number)
        shift = body.shift(start, start + 5)
        assert shift is not None
        assert body.text[start + shift :].startswith(b'"c":%c' % number)
    put = splice(body.text, [span for one in holders for span in one.put_in()])
    assert json.loads(put) == json.loads(text)
    with pytest.raises(UnfitValue):
        taken_out(WriteBody(b'{"all":[{"t":"~"}]}', ()), [item])


def states(made: Treated) -> set[str]:
    """Return what the values are."""
    return {outcome.state for _, outcome in made.kept}
