from pathlib import Path

import pytest

from proxy.config.load import load
from proxy.config.places import find
from proxy.core.errors import ConfigurationError
from tests.config.builders import SMALL, changed, loaded


def _write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SMALL)
    return path


def test_the_chosen_file_is_taken_before_all(tmp_path: Path) -> None:
    _write(tmp_path / "sealyard.yaml")

    assert Path("x.yaml") == find(Path("x.yaml"), {"SEALYARD_CONFIG": "y.yaml"}, tmp_path)


def test_the_variable_is_taken_before_the_places(tmp_path: Path) -> None:
    _write(tmp_path / "sealyard.yaml")

    assert tmp_path / "y.yaml" == find(None, {"SEALYARD_CONFIG": "y.yaml"}, tmp_path)


def test_the_folder_is_looked_up_before_its_config(tmp_path: Path) -> None:
    inner = _write(tmp_path / "config" / "sealyard.yaml")
    first = find(None, {}, tmp_path)
    outer = _write(tmp_path / "sealyard.yaml")

    assert (inner, outer) == (first, find(None, {}, tmp_path))


def test_no_file_at_all_is_told_with_the_places(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="configuration-error") as caught:
        find(None, {"SEALYARD_CONFIG": ""}, tmp_path)

    assert "config/sealyard.yaml" in caught.value.problems[0]


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = _write(tmp_path / "sealyard.yaml")

    assert tmp_path / "keyring.jwe" == load(path, {}).settings.keys.keyring.file


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "sealyard.yaml"
    path.write_bytes(SMALL.encode())
    without = load(path, {})
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())

    assert without == load(path, {})


def test_the_environment_is_put_in() -> None:
    text = changed("name: send", "name: ${env:A}-${env:B:-b}${env:C:-}")

    (listener,) = loaded(text, {"A": "no"}).settings.listeners

    assert listener.rules[0].name == "no-b"


def test_the_environment_gives_texts_and_numbers_alike() -> None:
    item = "{select: $.content, max_chars: '${env:MOST}'}"
    text = changed("encrypt: $.content", f"encrypt: {item}").replace("const:t", "'const:${env:T}'")

    (listener,) = loaded(text, {"MOST": "500", "T": "012"}).settings.listeners

    (block,) = listener.rules[0].request  # type: ignore[misc]  # a block, as it is written
    assert block.encrypt[0].max_chars == 500


def test_the_environment_does_not_reach_keys() -> None:
    with pytest.raises(ConfigurationError):
        loaded(changed("unmatched: pass", "${env:KEY}: pass"), {"KEY": "unmatched"})
