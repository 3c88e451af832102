from __future__ import annotations

import shutil
import subprocess

import pytest

from tools.release import manual

GROFF = shutil.which("groff")
PAGES = manual.pages()


@pytest.mark.skipif(GROFF is None, reason="no groff: ./dev packages installs it")
@pytest.mark.parametrize("name", PAGES)
def test_troff_reads_a_manual_page_without_a_warning(name: str) -> None:
    command = [str(GROFF), "-man", "-ww", "-Tutf8", "-P-cbou"]
    done = subprocess.run(  # noqa: S603 - Debian's groff
        command, input=PAGES[name], capture_output=True, text=True, check=True
    )

    assert done.stderr == ""
    assert f"{name.removesuffix('.1')} - " in " ".join(done.stdout.split())


def test_a_page_lists_the_options_of_subcommands() -> None:
    page = PAGES["sealyard-keys.1"]

    assert ".SH SEALYARD KEYS PROMOTE" in page
    assert ".B \\-\\-yes" in page
    assert PAGES["sealyard.1"].count(".BR sealyard-") == len(PAGES) - 1
