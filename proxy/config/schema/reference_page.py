"""The reference page of the configuration, made from the declarations of its keys.

`python -m proxy.config.schema.reference_page` writes it to docs/reference/configuration.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ..declared.section import Key, Section
from .declarations import default_of, doc_of, sections_of
from .json_schema import SECTIONS

PAGE: Final = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"
_HEAD: Final = """\
# Configuration

<!-- Made by `python -m proxy.config.schema.reference_page`; do not edit. -->

The configuration is one YAML file: `--config`, `$SEALYARD_CONFIG`, or the first that exists of
`./sealyard.yaml`, `./config/sealyard.yaml` and `/etc/sealyard/sealyard.yaml`. All mistakes are
reported at once, each as `file:line:column path message`. Relative paths are relative to the folder
of the file.

Only a plain subset of YAML is accepted: no anchors, aliases, merge keys or tags, one document, each
key once. A value that YAML would not read as text where text is expected (`no`, `on`, `012`,
`1:30`, `{id}`) is a mistake; quote it. `${env:NAME}` in a value is replaced with an environment
variable, `${env:NAME:-default}` if it may be unset; inside `{ }` and `[ ]` such a value must be
quoted. A secret is never written in the file, but referenced: `{env: NAME}` or `{file: path}`.

A *duration* is a number with `ms`, `s`, `m`, `h` or `d`; a *size* is a number with `B`, `KiB`,
`MiB` or `GiB`.

A *selector* is a path into JSON (`$.name`, `$['a name']`, `$[0]`, `.*`, `..name`), `form:name`
for a field of a URL-encoded form, `part:name` and `filename:name` for a part of a multipart form,
`query:name` (only on requests), `header:name`, `body`, `text`, or, in `decrypt`, `tokens`: every
token in a JSON string or a form value. `$.payload json:$.note` goes on in the JSON that a string
holds, up to four strings deep, and `part:operations $.variables.note` in that of a part or a
`form:` field; names that bind values may be read so too. A block reads one kind of body, so `$.`
and `form:` need separate blocks. JSON selectors also apply to each record of NDJSON and JSON text
sequences and to the data of each server-sent event; there, `text` is the data of an event. An
*item* is `[optional ]SELECTOR[ as FIELD]`, or the long form below.

A *source* is `$.path` (with `~` at the end: the name of the member), `path:name`, `query:name`,
`header:name`, `caller:claim`, `jwt-unverified:claim` or `const:text`. One of them in braces with
text around it is a name too: `Patient/{path:id}`; the part has no `/`. A list of sources is joined
in order.

The most specific setting applies: a block's before its rule's, a rule's before that of `defaults`,
key by key. `bind` is taken from the block, the rule, `fields` or `defaults`, in this order. Parts
of an inherited `bind` that a rule does not give are left out; a rule or block with its own `bind`
must have a source for each part. `permissive until` ends at 00:00 UTC of its day.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([_HEAD, *map(_section, SECTIONS)])


def sections(root: Section[Any]) -> Iterator[str]:
    """Yield the part of a page for each section of a file."""
    return map(_section, sections_of(root))


def main(path: Path = PAGE) -> None:
    """Write the page to its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(), encoding="utf-8")


def _section(one: Section[Any]) -> str:
    rows = map(_row, one.keys)
    lines = [
        f"## {one.title}",
        "",
        "| key | value | default | meaning |",
        "|---|---|---|---|",
        *rows,
    ]
    return "\n".join([*lines, ""])


def _row(key: Key) -> str:
    default = "required" if key.required else (default_of(key) or "none")
    cells = (f"`{key.name}`", key.kind.syntax, default, doc_of(key))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    main()
