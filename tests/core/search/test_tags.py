from __future__ import annotations

import hmac
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from proxy.core.crypto.context import Scope
from proxy.core.crypto.secret import IndexSecret
from proxy.core.errors import NotIndexable
from proxy.core.search.model import ExactIndex, WordsIndex
from proxy.core.search.skipped import COMMON
from proxy.core.search.tags import Cut, IndexKeys, behind, cut, listed

SECRET = IndexSecret(bytes(range(32)))
KEYS = IndexKeys(SECRET, 1)
SCOPE = Scope("clinic", "c1")


def info(kind: bytes, generation: int = 1) -> bytes:
    scope = b"\x01\0\0\0\x06clinic\x02\0\0\0\x02c1"
    parts = (scope, b"content", kind)
    listed = b"".join(len(one).to_bytes(4) + one for one in parts)
    return b"sealyard/v1/index/1\0" + listed + generation.to_bytes(4)


def key(kind: bytes, generation: int = 1) -> bytes:
    return HKDFExpand(SHA256(), 32, info(kind, generation)).derive(bytes(range(32)))


def base32(data: bytes, characters: int) -> str:
    bits = f"{int.from_bytes(data):0{8 * len(data)}b}"
    return "".join(
        "abcdefghijklmnopqrstuvwxyz234567"[int(bits[5 * at : 5 * at + 5].ljust(5, "0"), 2)]
        for at in range(characters)
    )


@pytest.mark.parametrize("word", ["a", "fifteen-letters", "more than fifteen", "straße"])
def test_the_tag_of_a_word_is_the_beginning_of_its_encrypted_block(word: str) -> None:
    text = word.encode()
    if len(text) < 16:
        block = bytes((len(text),)) + text + bytes(15 - len(text))
    else:
        block = b"\xff" + sha256(text).digest()[:15]
    encrypted = Cipher(AES256(key(b"words")), ECB()).encryptor().update(block)  # noqa: S305 - as the form says
    assert KEYS.word_tags(SCOPE, "content", [word]) == ["b" + base32(encrypted, 4)]


def test_the_tag_of_a_value_is_half_an_hmac() -> None:
    digest = hmac.digest(key(b"exact"), b"ann@example.com", "sha256")[:16]
    tag = KEYS.exact_tag(SCOPE, "content", "ann@example.com")
    assert tag == "b" + base32(digest, 26)
    assert KEYS.exact_tag(SCOPE, "content", "ann@example.com") == tag


def test_no_two_scopes_fields_kinds_or_generations_share_tags() -> None:
    words = [f"word{at}" for at in range(100)]
    scopes = [
        Scope("a", "bc"), Scope("ab", "c"), Scope("abc"), Scope(None, "abc"), Scope(), Scope("a"),
    ]  # fmt: skip
    seen: list[tuple[str, ...]] = []
    for scope in scopes:
        for field in ("content", "conten", "tcontent"):
            for keys in (KEYS, IndexKeys(SECRET, 33), IndexKeys(IndexSecret(bytes(32)), 1)):
                seen.append(tuple(one[1:] for one in keys.word_tags(scope, field, words)))
                seen.append(tuple(keys.exact_tag(scope, field, one)[1:5] for one in words))
    assert len(seen) == len(set(seen))


def test_a_generation_has_a_character_of_its_own() -> None:
    marks = [IndexKeys(SECRET, generation).mark for generation in range(1, 33)]
    assert sorted(marks) == sorted("abcdefghijklmnopqrstuvwxyz234567")
    assert IndexKeys(SECRET, 2).word_tags(SCOPE, "content", "a")[0].startswith("c")


def test_tags_stand_sorted_behind_a_token_and_are_cut_from_it() -> None:
    tags = ["bzzzz", "baaaa", "bzzzz"]
    assert behind("TOKEN", tags) == "TOKEN~baaaa~bzzzz~"
    assert listed(tags) == "~baaaa~bzzzz~"
    assert cut("TOKEN~baaaa~bzzzz~") == Cut("TOKEN", ("baaaa", "bzzzz"))
    assert behind("TOKEN", []) == "TOKEN"
    exact = KEYS.exact_tag(SCOPE, "email", "a@b")
    assert cut(behind("TOKEN", [exact])) == Cut("TOKEN", (exact,))


@pytest.mark.parametrize(
    "text", ["TOKEN", "TOKEN~", "TOKEN~baaa~", "TOKEN~baaaa", "TOKEN~baaaa~\n", "T~BAAAA~"]
)  # fmt: skip
def test_what_is_no_list_of_tags_is_not_cut(text: str) -> None:
    assert cut(text) == Cut(text)


def test_a_field_of_words_has_a_tag_for_each_word_that_is_not_skipped() -> None:
    index = WordsIndex(skip=COMMON["common-en"], most=2)
    tags = index.tags(KEYS, SCOPE, "content", "The pills and the Pills for Ann")
    assert tags == KEYS.word_tags(SCOPE, "content", ["pills", "ann"])
    assert index.indexed("and the") == []
    with pytest.raises(NotIndexable, match="too-many-words") as caught:
        index.tags(KEYS, SCOPE, "content", "one two2 three3 four4")
    assert caught.value.detail == "at most 2 distinct words can be indexed."


def test_a_scope_of_a_tenant_leaves_the_conversation_out() -> None:
    index = WordsIndex(scope="tenant")
    assert index.tags(KEYS, SCOPE, "content", "pill") == KEYS.word_tags(
        Scope("clinic"), "content", ["pill"]
    )
    exact = ExactIndex("email", scope="tenant")
    tag = KEYS.exact_tag(Scope("clinic"), "content", "a@b")
    assert exact.tags(KEYS, SCOPE, "content", "A@b") == [tag]
