"""Tags of many words and values: what is not the same has not the same tag."""

from __future__ import annotations

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.secret import IndexSecret
from proxy.core.search.tags import IndexKeys

KEYS = IndexKeys(IndexSecret(bytes(range(32))), 1)
WORDS = [f"word{at}" for at in range(100_000)]
EMAILS = 1_000_000


def test_two_tenants_share_no_tag_of_a_word() -> None:
    """Of 20 bits, one word in 1,048,576 has the same tag by chance: of these, 0.1."""
    one, other = (KEYS.word_tags(Scope(name, "c1"), "content", WORDS) for name in ("a", "b"))
    assert sum(map(str.__eq__, one, other)) == 0
    assert len(one) == len(other) == len(WORDS)


def test_two_tenants_share_no_tag_or_token_of_a_value() -> None:
    of = [
        {KEYS.exact_tag(scope, "email", one) for one in WORDS}
        | {KEYS.equal(scope).seal(one.encode(), Context(scope, "email")).decode() for one in WORDS}
        for scope in (Scope("a"), Scope("b"))
    ]
    assert not of[0] & of[1]
    assert [len(one) for one in of] == [2 * len(WORDS)] * 2


def test_no_two_of_a_million_emails_have_one_tag() -> None:
    scope = Scope("clinic")
    tags = {KEYS.exact_tag(scope, "email", f"ann.{at}@example.com") for at in range(EMAILS)}
    assert len(tags) == EMAILS
