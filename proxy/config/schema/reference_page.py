"""The reference of the configuration, made from the tables that the loader reads by.

`python -m proxy.config.schema.reference_page` writes it to docs/reference/configuration.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .file_keys import TABLES
from .renamed_keys import RENAMED_KEYS
from .tables import Key, Table

PAGE: Final = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"
_HEAD: Final = """\
# Configuration

<!-- Made by `python -m proxy.config.schema.reference_page`; do not edit. -->

One YAML file, found as `--config`, `$SEALYARD_CONFIG`, `./sealyard.yaml`,
`./config/sealyard.yaml` or `/etc/sealyard/sealyard.yaml`, in this order. All mistakes are told at
once, each as `file:line:column path message`. Relative paths are relative to the folder of the
file.

Only the plain part of YAML is read: no anchors, aliases, merges or tags, one document, each key
once. A value that YAML would read as something other than the text that is expected (`no`, `on`,
`012`, `1:30`, `{id}`) is a mistake; quotes make it a text. `${env:NAME}` in a value is replaced
from the environment, `${env:NAME:-default}` where it may be unset. Inside `{ }` and `[ ]` such a
value needs quotes. A secret is never written in the file: `{env: NAME}` or `{file: path}` says
where it stands.

A *duration* is a number with `ms`, `s`, `m`, `h` or `d`; a *size* a number with `B`, `KiB`, `MiB`
or `GiB`.

A *selector* is a path into JSON (`$.name`, `$['a name']`, `$[0]`, `.*`, `..name`), `form:name`
for a pair of a form (`application/x-www-form-urlencoded`), `query:name` and `header:name` on
requests, `body`, `text`, or, in decrypt, `tokens`: every token in a string of JSON or in a value of
a form. A block reads one kind of body: `$.` and `form:` stand in blocks of their own. JSON is also
each record of NDJSON or of a JSON text sequence, and the data of each server-sent event. There
`text` is the data of an event. An *item* is `[optional ]SELECTOR[ as FIELD]`, or the long form
below.

A *source* is `$.path` (with `~` at the end the member's name), `path:name`, `query:name`,
`header:name`, `jwt:claim` or `const:text`; a list of sources is joined in order.

What stands closer wins: a block over its rule, a rule over `defaults`. `defaults` are replaced
key by key. `bind` is looked for in the block, the rule, `fields` and `defaults`, in this order;
parts that a rule does not give are left out, but a rule or block that says `bind` itself must
have a source for each part. A `permissive until` ends at 00:00 UTC of its day.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([_HEAD, *(_section(one) for one in TABLES), *_renamed()])


def main(path: Path = PAGE) -> None:
    """Write the page to its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(), encoding="utf-8")


def _section(table: Table) -> str:
    rows = [_row(key) for key in table.keys if not key.later]
    later = ", ".join(f"`{key.name}`" for key in table.keys if key.later)
    lines = [
        f"## {table.title}",
        "",
        "| key | value | default | meaning |",
        "|---|---|---|---|",
        *rows,
    ]
    if later:
        lines += ["", f"Not supported yet, and refused: {later}."]
    return "\n".join([*lines, ""])


def _row(key: Key) -> str:
    default = "required" if key.required else (key.default or "none")
    cells = (f"`{key.name}`", key.syntax, default, key.doc)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _renamed() -> list[str]:
    rows = [
        f"| `{one.table}.{one.old}` | `{one.table}.{one.new}` | {one.refused_from} |"
        for one in RENAMED_KEYS
    ]
    return [
        "## Renamed keys",
        "",
        "In a file of an earlier `version` the old name still works, with a warning.",
        "",
        "| old | new | refused from `version` |",
        "|---|---|---|",
        *rows,
        "",
    ]


if __name__ == "__main__":
    main()
