"""Write the reference page of the chart's values, from values.yaml and its comments.

`python helm/values_page.py docs/reference/values.md` writes it; `./dev docs` does so.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

VALUES: Final = Path(__file__).parent / "sealyard" / "values.yaml"

_KEY: Final = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z]\w*):(?: (?P<value>.*))?")
_MEANING: Final = re.compile(r" *# -- (.*)")
_GOES_ON: Final = re.compile(r" *# (.*)")
_HEAD: Final = """\
# Values of the chart

<!-- Made by `./dev docs` from helm/sealyard/values.yaml: change it there. -->

The values that `helm install` and `helm upgrade` accept. Unknown names are refused.
See [how to install](../how-to/kubernetes.md).

| Value | Default | Meaning |
| --- | --- | --- |
"""


def page(text: str) -> str:
    """Return the page for the text of a values.yaml."""
    return _HEAD + "".join(
        f"| `{path}` | {f'`{value}`' if value else ''} | {meaning} |\n"
        for path, value, meaning in _rows(text)
    )


def _rows(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, default and meaning of every value that is no mapping of others."""
    path: list[tuple[int, str]] = []
    meaning = ""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if begins := _MEANING.fullmatch(line):
            meaning = begins[1]
        elif meaning and (goes_on := _GOES_ON.fullmatch(line)):
            meaning += f" {goes_on[1]}"
        elif key := _KEY.fullmatch(line):
            indent = len(key["indent"])
            path = [*[one for one in path if one[0] < indent], (indent, key["key"])]
            if key["value"] is not None or not _holds_more(lines, number, indent):
                dotted = ".".join(name for _, name in path)
                yield dotted, key["value"] or "", meaning.replace("|", "\\|")
            elif meaning:
                yield ".".join(name for _, name in path), "", meaning.replace("|", "\\|")
            meaning = ""


def _holds_more(lines: list[str], number: int, indent: int) -> bool:
    for line in lines[number + 1 :]:
        if key := _KEY.fullmatch(line):
            return len(key["indent"]) > indent
    return False


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(VALUES.read_text(encoding="utf-8")), encoding="utf-8")
