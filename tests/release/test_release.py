"""The files of a release beside its distributions, and the rules for its locks."""

from __future__ import annotations

import json
import subprocess
import tarfile
import tomllib
from importlib.metadata import Distribution
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

from proxy import __version__
from proxy.process.fitness import FLOORS
from tools import trusted_base
from tools.release import __main__ as release
from tools.release import chart, floors, licences, provenance

ROOT = Path(__file__).parent.parent.parent
AT = 1_700_000_000


def test_a_chart_is_packed_to_the_same_bytes_each_time(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (
        chart.pack(ROOT / "helm" / "sealyard", tmp_path / name, AT, {}) for name in ("a", "b")
    )

    assert one.read_bytes() == other.read_bytes()
    with tarfile.open(one) as archive:
        assert "sealyard/Chart.yaml" in archive.getnames()
        assert {entry.mtime for entry in archive} == {AT}


def test_a_chart_has_the_addresses_of_the_project(tmp_path: Path) -> None:
    urls = {name: f"https://{name}.test/" for name in ("Homepage", "Source", "Documentation")}
    made = chart.pack(ROOT / "helm" / "sealyard", tmp_path, AT, urls)
    with tarfile.open(made) as archive:
        archive.extractall(tmp_path, filter="data")
    told = yaml.safe_load((tmp_path / "sealyard" / "Chart.yaml").read_text())
    values = yaml.safe_load((tmp_path / "sealyard" / "values.yaml").read_text())

    assert (told["home"], told["sources"]) == ("https://Homepage.test/", ["https://Source.test/"])
    link = values["monitoring"]["prometheusRule"]["runbookUrl"]
    assert link == "https://Documentation.test/docs/runbooks"


@pytest.mark.parametrize(
    ("version", "chart"),
    [
        ("1.0.0", "1.0.0"),
        ("1.0.0rc1", "1.0.0-rc.1"),
        ("1.0.0.dev0", "1.0.0-dev.0"),
        ("1.0.0rc2.dev0", "1.0.0-rc.2.dev.0"),
    ],
)
def test_a_chart_has_the_version_in_its_own_form(version: str, chart: str) -> None:
    assert release.semver(version) == chart


def test_all_files_have_one_version() -> None:
    assert not [one for one in release.check(__version__) if "has another version" in one]


def repository(folder: Path) -> None:
    """Make a repository of what states the version, under the tag of another one."""
    (folder / "docs").mkdir()
    for file in (*release.places("1"), "CHANGELOG.md"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes((ROOT / file).read_bytes())
    (folder / "docs" / "scorecard.md").write_text("nothing is due\n")
    (folder / "tests" / "archive" / "2.0.0rc1").mkdir(parents=True)
    (folder / "tests" / "archive" / "2.0.0rc1" / "stale").write_text("x")
    for command in ("init -q", "config user.name t", "config user.email t@t.test"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)  # noqa: S603, S607 - git of this machine


def commit(folder: Path) -> None:
    for command in ("add -A", "commit -q -m x"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)  # noqa: S603, S607 - git of this machine


def test_a_version_is_prepared_checked_and_tagged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository(tmp_path)
    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.setattr(floors, "found", list)
    monkeypatch.setattr(trusted_base, "current", lambda: True)
    release.prepare("2.0.0rc1")

    assert not (tmp_path / "tests" / "archive" / "2.0.0rc1").exists()
    assert "\n## 2.0.0rc1\n" in (tmp_path / "CHANGELOG.md").read_text()
    assert "version: 2.0.0-rc.1\n" in (tmp_path / "helm/sealyard/Chart.yaml").read_text()
    assert len(release.tag("2.0.0rc1")) == 2  # no archive, not committed

    (tmp_path / "tests" / "archive" / "2.0.0rc1").mkdir(parents=True)
    (tmp_path / "tests" / "archive" / "2.0.0rc1" / "manifest.json").write_text("{}")
    commit(tmp_path)
    assert release.check("2.0.0rc1") == [
        "this commit has not the tag v2.0.0rc1 alone: ./dev release --tag."
    ]
    assert release.tag("2.0.0rc1") == []
    assert release.check("2.0.0rc1") == []
    with pytest.raises(SystemExit, match="not made again"):
        release.prepare("2.0.0rc1")
    assert (tmp_path / "tests" / "archive" / "2.0.0rc1").exists()


def test_no_lock_file_has_a_version_below_its_floor() -> None:
    assert len(floors.locks()) > 10
    assert floors.found() == []


def test_a_version_below_its_floor_is_found_by_any_spelling() -> None:
    lock = (
        "aiohttp==3.9.1 \\\n    --hash=sha256:00\n"
        "Jinja2==3.1.5 ; python_version > '3'\nredis[hiredis]==8.1.0\n"
    )

    assert [one.split(":")[0] for one in floors.below(lock)] == [
        "aiohttp 3.9.1 is below 3.14.5",
        "Jinja2 3.1.5 is below 3.1.6",
    ]


def test_the_floors_are_those_that_the_start_enforces_and_that_the_project_asks_for() -> None:
    told = tomllib.loads(floors.FLOORS.read_text("utf-8"))
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]

    for name, floor in FLOORS.items():
        assert told[name]["floor"] == floor
        assert f"{name}>={floor}" in asked
    for name, rule in told.items():
        if name != "except":
            Version(rule["floor"])
            assert rule["reason"]


def test_provenance_names_each_file_with_its_digest(tmp_path: Path) -> None:
    file = tmp_path / "sealyard.whl"
    file.write_bytes(b"wheel")
    told = json.loads(provenance.statement([file], {"rustc": "1"}))

    assert told["subject"] == [
        {"name": "sealyard.whl", "digest": {"sha256": provenance.digest(file)}}
    ]
    assert told["predicateType"] == "https://slsa.dev/provenance/v1"
    assert len(told["predicate"]["buildDefinition"]["externalParameters"]["commit"]) == 40


def test_builds_that_differ_are_told_by_file(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "same").write_text("same")
        (folder / "differs").write_text(folder.name)
    (one / "lone").write_text("")

    assert release.compare(one, other) == [
        "differs differs between two builds",
        "lone differs between two builds",
    ]


def test_what_is_not_ready_is_told_with_its_remedy() -> None:
    missing = release.check("9.9.9")

    assert any(
        one == 'CHANGELOG.md has no heading "## 9.9.9": ./dev release --prepare 9.9.9.'
        for one in missing
    )
    assert "tests/archive/9.9.9 is missing: ./dev release --prepare 9.9.9." in missing


def stated(lines: dict[str, str], folder: Path) -> Distribution:
    """Return a distribution that states these lines about itself."""
    place = folder / "told-1.dist-info"
    place.mkdir()
    text = "".join(f"{name}: {value}\n" for name, value in lines.items())
    (place / "METADATA").write_text(f"Metadata-Version: 2.4\nName: told\nVersion: 1\n{text}")
    return Distribution.at(place)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ({"License-Expression": "Apache-2.0 AND MIT"}, "Apache-2.0 AND MIT"),
        ({"License": "Apache 2.0"}, "Apache-2.0"),
        ({"Classifier": "License :: OSI Approved :: BSD License"}, "BSD-3-Clause"),
        ({"License-Expression": "GPL-2.0-only"}, "unknown"),
        ({"License-Expression": "MIT AND GPL-3.0-or-later"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_only_accepted_licences_are_known(
    lines: dict[str, str], expected: str, tmp_path: Path
) -> None:
    assert licences.licence(stated(lines, tmp_path)) == expected
