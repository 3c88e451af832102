from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.load import load

FILE = """\
version: 1
keys: {keyring: {file: keyring.jwe, key: {file: root.key}}, store: memory}
fields:
  content: {max_chars: 255}
FIELDS
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: reject
    defaults: {tenant: const:clinic, mode: MODE}
    rules:
      - name: send
        match: POST /messages
        conversation: $.room
        request: {encrypt: [$.content, optional $.subject as title]}
        response: {decrypt: [$.content, optional $.subject as title]}
"""


def warnings(tmp_path: Path, fields: str = "", mode: str = "enforce") -> list[str]:
    file = tmp_path / "sealyard.yaml"
    line = f"  {fields}" if fields else ""
    file.write_text(FILE.replace("FIELDS", line).replace("MODE", mode))
    return [one.partition(f"{file.name}:")[2] for one in load(file, {}).warnings]


def test_settings_of_a_field_that_no_rule_has_are_told_with_what_was_meant(tmp_path: Path) -> None:
    [told] = warnings(tmp_path, "titel: {max_chars: 80}")

    assert told == (
        "5:10 fields.titel no rule has a field `titel`, so its settings have no effect;"
        " did you mean `title`?"
    )


@pytest.mark.parametrize("fields", ["", "title: {min_chars: 1}"])
def test_fields_of_rules_are_no_mistake(tmp_path: Path, fields: str) -> None:
    assert warnings(tmp_path, fields) == []


def test_words_of_a_search_are_told_to_reach_the_backend(tmp_path: Path) -> None:
    [told] = warnings(tmp_path, mode="enforce, query: {q: plain, page: plain, search: refuse}")

    assert told == (
        "13:15 listeners[0].rules[0].name rule `send` lists `q` in the query: the words of a"
        " search reach the backend in plaintext, and find nothing in what is sealed"
    )


@pytest.mark.parametrize("name", ["content", "Content", "filter[subject]", "-content"])
def test_a_name_of_the_query_by_which_what_is_sealed_is_sought_is_told(
    tmp_path: Path, name: str
) -> None:
    [told] = warnings(tmp_path, mode=f"enforce, query: {{'{name}': plain, id: plain}}")

    assert f"rule `send` lists `{name}` in the query: the words of a search reach" in told


@pytest.mark.parametrize(
    ("label", "told"), [("content", 1), ("Subject", 1), ("id", 0), ("title", 0)]
)
def test_a_name_of_the_path_by_which_what_is_sealed_is_sought_is_told(
    tmp_path: Path, label: str, told: int
) -> None:
    file = tmp_path / "sealyard.yaml"
    text = FILE.replace("FIELDS", "").replace("MODE", "enforce")
    file.write_text(text.replace("POST /messages", f"POST /messages/{{{label}}}"))

    found = [one for one in load(file, {}).warnings if f"has `{label}` in its path" in one]

    assert len(found) == told


@pytest.mark.parametrize("name", ["fields[content]: names", "content: refuse", "contents: plain"])
def test_a_name_of_the_query_that_seeks_nothing_sealed_is_no_mistake(
    tmp_path: Path, name: str
) -> None:
    assert (
        warnings(tmp_path, mode=f"enforce, query: {{'{name.replace(': ', chr(39) + ': ')}}}") == []
    )


def test_a_permissive_mode_that_has_ended_is_told(tmp_path: Path) -> None:
    told = warnings(tmp_path, mode="permissive until 2026-01-31")

    assert len(told) == 1
    assert told[0].endswith(
        "listener `api`: rule `send` is permissive until 2026-01-31, which has passed:"
        " it enforces; write `enforce`"
    )


def test_a_permissive_mode_that_lasts_is_no_mistake(tmp_path: Path) -> None:
    assert warnings(tmp_path, mode="permissive until 2999-01-31") == []
