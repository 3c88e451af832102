from __future__ import annotations

import json
import platform

from proxy import __version__
from proxy.cli.commands import version

from ..conftest import Run


def test_versions_are_printed_for_people(run: Run) -> None:
    lines = run("show", "version").stdout.splitlines()

    assert lines[0].split() == ["sealyard", __version__]
    assert [line.split()[0] for line in lines] == list(version.versions())


def test_versions_are_printed_as_json(run: Run) -> None:
    found = json.loads(run("show", "version", "--json").stdout)

    assert found["python"] == platform.python_version()
    assert found["openssl"].startswith("OpenSSL ")
    assert found == version.versions()


def test_what_is_not_installed_has_no_version() -> None:
    assert version._distribution("no-such-distribution-here") is None
