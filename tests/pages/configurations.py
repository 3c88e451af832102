"""The YAML and JSON of the pages, as what it is: configurations, jobs, cases, values of the chart.

A page shows the part that it speaks of. Here it is put between the lines that a whole file has
besides, as text: what Sealyard's own reader of YAML refuses is refused.
"""

from __future__ import annotations

import re
import textwrap
from typing import Final

import yaml

ROOT_KEY: Final = "key: {file: root.key}"
KEYS: Final = f"""\
keys:
  keyring: {{file: keyring.jwe, {ROOT_KEY}}}
  store: sqlite:keys.db
"""
LISTENERS: Final = """\
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: pass
    trusted_names: true
    defaults:
      tenant: const:clinic
      bind: [tenant, conversation]
      conversation: CONVERSATION
"""
OPEN: Final = "      others: pass\n"
"""A rule that lists nothing of what may be plain shows something else."""
INDEXED: Final = """\
fields:
  email: {index: {exact: {normalize: email}}}
  content: {index: {words: {}}}
"""
"""The fields of rules that index or search."""
VAULT: Final = """\
version: 1
keys:
  keyring:
    file: keyring.jwe
    id: lXJ6nQm9bTq0x3VfYkR2dA
    vault:
      address: https://vault.example:8200
      key: sealyard
"""
RULE: Final = "- name: shown\n  match: POST /shown/{id}\n"
PARTS: Final = frozenset({"request", "response"})
SECTIONS: Final = frozenset(
    {
        "version",
        "keys",
        "admin",
        "health",
        "audit",
        "fields",
        "listeners",
        "masks",
        "purposes_of_use",
        "rules",
    }
)
ROOTS: Final = frozenset({"gcp-kms", "aws-kms", "azure-kv", "id"})
LISTENER: Final = frozenset({"defaults", "rules"})
LOGINS: Final = frozenset({"approle", "cert", "jwt", "kubernetes", "token"})
_NAMED: Final = {
    "cases": "cases",
    "openapi": "openapi",
    "scrape_configs": "prometheus",
    "source": "job",
}
_MADE_OF: Final = (
    (PARTS, "parts"),
    (ROOTS, "root"),
    (LOGINS, "login"),
    (SECTIONS, "sections"),
    (LISTENER, "listener"),
)
LISTED: Final = re.compile(r"\b(?:plain|others):")
FORMS: Final = re.compile(r"(?:form|part|filename):")


def kind_of(text: str) -> str:
    """Return what a block of YAML is: of which file, or of which part of a configuration."""
    value = yaml.safe_load(text)
    if isinstance(value, list):
        return "rules"
    for name, kind in _NAMED.items():
        if name in value:
            return kind
    if value.get("kind") == "ConfigMap":
        return "exceptions"
    return next((kind for names, kind in _MADE_OF if value.keys() <= names), "chart")


def whole(text: str) -> str:
    """Return a whole configuration in which the block is, as the page has it."""
    kind = kind_of(text)
    if kind == "parts":
        return _with_rules(RULE + textwrap.indent(text, "  "))
    if kind == "rules":
        return _with_rules(text)
    if kind == "root":
        return _with_root(text)
    if kind == "login":
        return VAULT + textwrap.indent(text, "      ") + _listeners(text)
    sections = _sections(text)
    if kind == "listener":
        defaults = sections["defaults"].partition("\n")[2]
        shown = textwrap.indent(defaults, "    ") + textwrap.indent(
            sections.get("rules", ""), "    "
        )
        return f"version: 1\n{KEYS}{_listeners(text)}{shown}"
    rules = sections.pop("rules", None)
    sections["keys"] = _keys(sections.get("keys", KEYS))
    if rules is not None and is_indexed(rules):
        sections.setdefault("fields", INDEXED)
    if "listeners" not in sections:
        shown = "" if rules is None else textwrap.indent(rules, "    ")
        sections["listeners"] = _listeners(text) + shown
    elif "unmatched:" not in sections["listeners"]:
        given = {"listen": "127.0.0.1:8080", "upstream": "http://127.0.0.1:3000"}
        lacking = [one for one in given if f" {one}:" not in sections["listeners"]]
        more = "".join(f"    {one}: {given[one]}\n" for one in lacking)
        sections["listeners"] += f"{more}    unmatched: pass\n"
    return "".join({"version": "version: 1\n", **sections}.values())


def _listeners(text: str) -> str:
    """Return a listener whose rules find their conversation where the rules of a text can."""
    source = "query:c" if FORMS.search(text) else "$.conversationId"
    closed = LISTED.search(text)
    listeners = LISTENERS.replace("CONVERSATION", source)
    if is_indexed(text):
        listeners = listeners.replace("conversation]", "conversation, field]")
    return listeners + ("" if closed else OPEN)


def _keys(section: str) -> str:
    """Return the section of the keys with a keyring that has a file and a root."""
    if "keyring:" not in section:
        return section.replace("keys:\n", KEYS.removesuffix("  store: sqlite:keys.db\n"), 1)
    if "file:" not in section:
        return section.replace("keyring:\n", f"keyring:\n    file: k.jwe\n    {ROOT_KEY}\n", 1)
    return section


def _with_rules(rules: str) -> str:
    shown = textwrap.indent(rules, "      ")
    fields = INDEXED if is_indexed(rules) else ""
    return f"version: 1\n{KEYS}{fields}{_listeners(rules)}    rules:\n{shown}"


def is_indexed(text: str) -> bool:
    """Return whether rules index or search, so that their fields say how."""
    return "index:" in text or "search:" in text


def _with_root(text: str) -> str:
    other = "" if "kms" in text or "kv" in text else f"    {ROOT_KEY}\n"
    shown = textwrap.indent(text, "    ")
    return f"version: 1\nkeys:\n  keyring:\n    file: k.jwe\n{other}{shown}{_listeners(text)}"


def _sections(text: str) -> dict[str, str]:
    """Return the text of each section of a file by its name."""
    parts = re.split(r"^(?=[a-z_]+:)", text, flags=re.MULTILINE)
    return {one.partition(":")[0]: one for one in parts if ":" in one}
