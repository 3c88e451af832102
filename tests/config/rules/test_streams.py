"""Sentinels and batches as rules write them: what they are read as, and what is refused."""

from __future__ import annotations

import pytest

from proxy.core.rules.model import Batching, Block
from tests.config.builders import loaded, problems_of, with_rules


def a_file(block: str, *, side: str = "response", shared: str = "") -> str:
    return with_rules(
        f"      - name: chat\n        match: POST /chat\n{shared}        {side}:\n"
        + "".join(f"          {line}\n" for line in block.splitlines())
    )


def block_of(block: str) -> Block:
    (rule,) = loaded(a_file(block)).settings.listeners[0].rules
    assert isinstance(rule.response, tuple)
    return rule.response[0]


@pytest.mark.parametrize(
    ("written", "sentinels"),
    [
        ("", None),
        ("sentinels: []", ()),
        ("sentinels: ['[DONE]']", ("[DONE]",)),
        ('sentinels: ["[DONE]", ping, "<eof>"]', ("[DONE]", "ping", "<eof>")),
    ],
)
def test_sentinels_are_read(written: str, sentinels: tuple[str, ...] | None) -> None:
    assert block_of(f"encrypt: $.v\n{written}").sentinels == sentinels


@pytest.mark.parametrize(
    ("written", "batch"),
    [
        ("", None),
        ("batch: 250ms", Batching(0.25)),
        ("batch: end", Batching(None)),
        ("batch: {for: 1s}", Batching(1.0)),
    ],
)
def test_a_batch_is_read(written: str, batch: Batching | None) -> None:
    assert block_of(f"encrypt: $.v\n{written}").batch == batch


def test_a_batch_names_what_may_differ() -> None:
    batch = block_of("encrypt: $.v\nbatch: {for: end, ignore: [$.created_at, $.n]}").batch

    assert batch is not None
    assert batch.delay is None
    assert [one.text for one in batch.ignored] == ["$.created_at", "$.n"]


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("encrypt: $.v\nsentinels: ping", "a list of texts is expected"),
        ("encrypt: $.v\nsentinels: ['{}']", "`{}` is JSON, so its values would pass unread"),
        ("encrypt: $.v\nsentinels: ['\"bye\"']", "is JSON"),
        ("encrypt: $.v\nsentinels: ['null']", "is JSON"),
        ("encrypt: $.v\nsentinels: [' bye']", "has blanks around it"),
        ('encrypt: $.v\nsentinels: ["by\\ne"]', "control characters"),
        ("encrypt: $.v\nsentinels: [sy1.abc]", "begins like a token"),
        (f"encrypt: $.v\nsentinels: [{'x' * 65}]", "is longer than 64 characters"),
        ("encrypt: body\nsentinels: [bye]", "only applies with JSON selectors or `text`"),
        ("decrypt: tokens\nbind: [tenant]\nsentinels: [bye]", "only applies with JSON selectors"),
        ("encrypt: $.v\nbatch: 0s", "must be more than zero"),
        ("encrypt: $.v\nbatch: 2h", "is more than 1h, the maximum"),
        ("encrypt: $.v\nbatch: soon", "is not a duration"),
        ("encrypt: $.v\nbatch: {ignore: $.t}", "lacks the key `for`"),
        ("encrypt: $.v\nbatch: {for: end, ignore: form:x}", "is not a JSON selector"),
        ("encrypt: $.v\nbatch: {for: end, ignore: $.v}", "ignores a value that the block seals"),
        ("decrypt: $.v\nbatch: end", "only applies if the block seals JSON strings"),
        ("encrypt: text\nbatch: end", "only applies if the block seals JSON strings"),
        ("encrypt: $.v\nformat: json\nbatch: end", "only applies to streams of records"),
        ("encrypt: $[1].v\nformat: socketio\nbatch: end", "only applies to streams of records"),
        ("encrypt: {select: $.v, max_chars: 9000}\nbatch: end", "`v` has `max_chars`"),
        ("encrypt: $.v\nalready_sealed: keep\nbatch: end", "before any is read as a token"),
    ],
)
def test_what_has_no_use_or_would_let_values_pass_is_refused(block: str, problem: str) -> None:
    assert problem in "\n".join(problems_of(a_file(block)))


def test_a_batch_is_for_responses() -> None:
    text = a_file("encrypt: $.v\nbatch: end", side="request")

    assert "only applies to responses" in "\n".join(problems_of(text))


def test_a_websocket_has_no_batch() -> None:
    text = a_file("encrypt: $.v\nbatch: end").replace("POST /chat", "WS /chat")

    assert "no stream of records" in "\n".join(problems_of(text))


def test_done_without_its_brackets_is_noticed() -> None:
    found = loaded(a_file("encrypt: $.v\nsentinels: [DONE]"))

    assert "without brackets" in "\n".join(found.warnings)
