"""data/mistakes.txt: in the small configuration `-` is replaced by `+`, and `>` is told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.config.load import load
from proxy.config.policy import MAX_RULES
from proxy.core.errors import ConfigurationError
from tests.config.builders import (
    ROOT,
    SMALL,
    changed,
    closed_of,
    loaded,
    problems_of,
    with_rules,
)

TABLE = Path(__file__).parent / "data" / "mistakes.txt"


@dataclass(frozen=True, slots=True)
class Mistake:
    name: str
    old: str
    new: str
    told: list[str]


def _mistakes() -> list[Mistake]:
    return [_mistake(block.splitlines()) for block in TABLE.read_text().strip().split("\n\n")]


def _mistake(lines: list[str]) -> Mistake:
    name, old, new, told = ([one[2:] for one in lines if one.startswith(mark)] for mark in "#-+>")
    return Mistake(name[0], "\n".join(old), "\n".join(new), told)


@pytest.mark.parametrize("mistake", _mistakes(), ids=lambda one: one.name)
def test_a_mistake_is_told_with_its_place(mistake: Mistake) -> None:
    assert mistake.told == problems_of(changed(mistake.old, mistake.new))


@pytest.mark.parametrize("mistake", _mistakes(), ids=lambda one: one.name)
def test_no_secret_of_a_mistake_is_told(mistake: Mistake) -> None:
    assert not any("hunter" in one for one in mistake.told)


@pytest.mark.parametrize("text", [SMALL, (ROOT / "config/sealyard.yaml").read_text()])
def test_no_misplaced_secret_is_told_to_a_log(text: str) -> None:
    told: list[str] = []
    for word in re.finditer(r"[^\s,:{}\[\]\"']+", text):
        told += closed_of(f"{text[: word.start()]}hunter2-of-x{text[word.end() :]}")

    assert len(told) > 10
    assert [one for one in told if "hunter2" in one] == []


def test_the_small_configuration_has_no_mistake() -> None:
    assert problems_of(SMALL) == []


def test_all_mistakes_are_told_in_the_order_of_the_file() -> None:
    text = changed("unmatched: pass", "unmatched: no").replace("version: 1", "version: 2")
    text = text.replace("POST /a", "post /a")

    told = [one.split()[0] for one in problems_of(text)]

    assert told == ["1:10", "8:16", "12:16"]


def test_a_mistake_in_defaults_is_told_once_for_all_rules() -> None:
    rules = "".join(f"      - {{name: r{at}, match: /r{at}}}\n" for at in range(3))
    text = with_rules(rules, defaults="{bind: [tenant], response: {decrypt: tokens}}")

    (told,) = problems_of(text)

    assert told.startswith("9:52 listeners[0].defaults.response.decrypt is bound to nothing")


def test_a_mistake_in_defaults_is_told_though_no_rule_uses_them() -> None:
    text = with_rules("      []\n", defaults="{response: {decript: tokens}}")

    assert problems_of(text) == [
        "9:26 listeners[0].defaults.response a block needs `encrypt`, `decrypt` or `plain`",
        "9:27 listeners[0].defaults.response the key `decript` is unknown; did you mean `decrypt`?",
    ]


def test_a_value_from_the_environment_is_never_told() -> None:
    text = changed("const:t", "'${env:TENANT}'")

    (told,) = problems_of(text, {"TENANT": "hunter2"})

    assert "hunter2" not in told
    assert told.startswith("9:24 listeners[0].defaults.tenant ")


def test_thousands_of_mistakes_are_cut_short() -> None:
    rules = "".join(f"      - {{name: r{at}, match: a}}\n" for at in range(1500))

    with pytest.raises(ConfigurationError) as caught:
        loaded(with_rules(rules))

    assert len(caught.value.problems) == 1001
    assert caught.value.problems[-1].endswith(": and 500 more")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "1:1 the file is empty; `sealyard init` writes one to start from"),
        (b"# only a comment\n", "1:1 the file is empty; `sealyard init` writes one to start from"),
        (b"version: 1\nkeys: \xff\n", "2:7 the file is not UTF-8 from here on; save it as UTF-8"),
        (b"version: 1\nab\x00c\n", "2:3 the file contains the control character U+0000; delete it"),
        (b"\xff\xfev\x00", "1:1 the file is not UTF-8 from here on; save it as UTF-8"),
        (b"a" * (4 * 1024 * 1024 + 1), "1:1 the file is larger than 4 MiB"),
        (b"[" * 40, "1:33 nested deeper than 32 levels; is a bracket not closed?"),
        (
            b"just a text",
            "1:1 a mapping is expected, but this is a single value; write `{key: value}`",
        ),
    ],
)
def test_a_file_that_is_no_configuration_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "sealyard.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError) as caught:
        load(path, {})

    assert (f"{path}:{told}",) == caught.value.problems


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, {})

    assert (f"{tmp_path}:1:1 is a folder, not a file; name a file in it",) == caught.value.problems


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "no.yaml"

    with pytest.raises(ConfigurationError) as caught:
        load(path, {})

    assert caught.value.problems[0].startswith(f"{path}:1:1 the file does not exist")


def test_a_name_that_no_file_can_have_is_told() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(Path("a\0b"), {})

    assert caught.value.problems[0].endswith("cannot be read: invalid file name")


def test_too_many_rules_are_told_before_they_are_read() -> None:
    text = with_rules(f"      [{'a, ' * MAX_RULES}b]\n")

    (told,) = problems_of(text)

    assert told == "11:7 listeners[0].rules 100001 rules are too many; the limit is 100000"
