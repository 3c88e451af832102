from __future__ import annotations

import hashlib
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import NotIndexable
from proxy.core.policy import INDEXED_CHARS
from proxy.core.search.normal_forms import NormalForm, normalize
from proxy.core.search.words import folded, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The quick (brown) fox can\u2019t, can't jump 2.3", "the quick brown fox can't jump 2.3"),
        ("", ""),
        ("... !? 👍🏽 🫨", ""),
        ("Straße STRASSE ﬁne", "strasse fine"),
        ("well-known on\u2011and\u2011on x- a--b", "well known on and x a b well-known on-and-on"),
        ("non\u2010stop", "non stop non-stop"),
        ("_so_ snake_case __init__", "so snake_case init"),
        ("e\u0301t\u00e9 \u00e9t\u0065\u0301", "été"),
        ("hyph\u00adens \u200ewritten\u200f", "hyphens written"),
        ("a.b a. .b 1,5 1, 1.a a:b 3a_b", "a.b a b 1,5 1 3a_b"),
        ('שלום אב"ג ג"', 'שלום אב"ג ג'),
        ("Привет, Ёж!", "привет ёж"),
        ("\u0301 lone", "lone"),
    ],
)  # fmt: skip
def test_words_are_those_of_unicode_without_marks_around_them(text: str, found: str) -> None:
    assert words(text) == found.split()


@pytest.mark.parametrize("text", ["你好", "こんにちは", "สวัสดี", "カタカナ", "hello 世界", "\u0897"])
def test_what_has_no_breaks_between_words_is_refused(text: str) -> None:
    with pytest.raises(NotIndexable, match="no-word-breaks"):
        words(text)


def test_a_text_that_takes_long_is_refused() -> None:
    assert words("a" * INDEXED_CHARS)
    for find in (words, lambda text: normalize("none", text)):
        with pytest.raises(NotIndexable, match="too-long-to-index"):
            find("a" * (INDEXED_CHARS + 1))


def test_every_python_folds_and_parts_alike() -> None:
    """The digest is frozen with the form of tags: another one would lose every index."""
    digest = hashlib.sha256()
    for at in chain(range(0x3400), range(0xA000, 0xAC80), range(0xD780, 0x20000, 3)):
        one = chr(at)
        digest.update(folded(f"{one}\u0307a").encode(errors="surrogatepass") + b"\n")
        try:
            found = words(f"ab{one}cd {one}1")
        except NotIndexable:
            found = ["!"]
        digest.update("\n".join(found).encode(errors="surrogatepass") + b"\n")
    assert digest.hexdigest() == "b7ed44b746b0a1850d7d061943960e27c4c7fc4aa75041dbefa0e92b03531443"


def test_what_is_new_in_unicode_stays_as_it_is() -> None:
    assert folded("A\U00016ea0\u212b") == "a\U00016ea0å"  # a capital letter of Unicode 17


@pytest.mark.parametrize(
    ("kind", "text", "normal"),
    [
        ("email", " Ann.B@Example.COM\n", "ann.b@example.com"),
        ("digits", "+49 (170) 12-34", "491701234"),
        ("digits", "٠١٢３", "0123"),
        ("casefold", " Straße", " strasse"),
        ("none", " Å ", " Å "),
    ],
)
def test_values_that_are_the_same_have_one_normal_form(
    kind: NormalForm, text: str, normal: str
) -> None:
    assert normalize(kind, text) == normal


@pytest.mark.parametrize(("kind", "text"), [("digits", "none"), ("email", " "), ("none", "")])
def test_a_value_with_nothing_to_find_is_refused(kind: NormalForm, text: str) -> None:
    with pytest.raises(NotIndexable, match="nothing-to-index"):
        normalize(kind, text)


@given(st.text(st.sampled_from("aZ09_.:',;-\"~ \t\n\r%*x"), max_size=24))
def test_ascii_is_read_as_it_is_beside_other_characters(text: str) -> None:
    beside = words(f"{text} \u00e4")
    assert beside[-1] == "\u00e4"
    assert words(text) == beside[:-1]
