"""The YAML and JSON of the pages, as what it is: configurations, jobs, cases, values of the chart.

A page shows the part that it speaks of. Here it is put between the lines that a whole file has
besides, as text: what Sealyard's own reader of YAML refuses is refused.
"""

from __future__ import annotations

import re
import textwrap
from typing import Final

import yaml

KEYS: Final = "keys:\n  keyring: {file: keyring.jwe, key: {file: root.key}}\n"
LISTENERS: Final = """\
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: pass
    trusted_names: true
    defaults: {tenant: const:clinic, conversation: $.conversationId}
"""
RULE: Final = "- name: shown\n  match: POST /shown/{id}\n"
PARTS: Final = frozenset({"request", "response"})
SECTIONS: Final = frozenset(
    {"version", "keys", "admin", "health", "audit", "fields", "listeners", "rules"}
)
ROOTS: Final = frozenset({"gcp-kms", "aws-kms", "azure-kv", "id"})


def kind_of(text: str) -> str:
    """Return what a block of YAML is: of which file, or of which part of a configuration."""
    value = yaml.safe_load(text)
    if isinstance(value, list):
        return "rules"
    names = set(value)
    if "cases" in names:
        return "cases"
    if "source" in names:
        return "job"
    if names <= PARTS:
        return "parts"
    if names <= ROOTS:
        return "root"
    return "sections" if names <= SECTIONS else "chart"


def whole(text: str) -> str:
    """Return a whole configuration in which the block is, as the page has it."""
    kind = kind_of(text)
    if kind == "parts":
        return _with_rules(RULE + textwrap.indent(text, "  "))
    if kind == "rules":
        return _with_rules(text)
    if kind == "root":
        return _with_root(text)
    sections = _sections(text)
    rules = sections.pop("rules", None)
    made = "".join(sections.values())
    if "version" not in sections:
        made = f"version: 2\n{made}"
    if "keys" not in sections:
        made += KEYS
    elif "keyring:" not in sections["keys"]:
        made = made.replace("keys:\n", KEYS, 1)
    if "listeners" not in sections:
        shown = "" if rules is None else textwrap.indent(rules, "    ")
        made += LISTENERS + shown
    return made


def _with_rules(rules: str) -> str:
    return f"version: 2\n{KEYS}{LISTENERS}    rules:\n{textwrap.indent(rules, '      ')}"


def _with_root(text: str) -> str:
    other = "" if "kms" in text or "kv" in text else "    key: {file: root.key}\n"
    shown = textwrap.indent(text, "    ")
    return f"version: 2\nkeys:\n  keyring:\n    file: keyring.jwe\n{other}{shown}{LISTENERS}"


def _sections(text: str) -> dict[str, str]:
    """Return the text of each section of a file by its name."""
    parts = re.split(r"^(?=[a-z_]+:)", text, flags=re.MULTILINE)
    return {one.partition(":")[0]: one for one in parts if ":" in one}
