"""The settings as the admin API shows them: by the keys of the file, secrets as references.

Rules are shown in short. What is not given and has no default is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from ..config.declared.composed import ByName, ListOf
from ..config.declared.kinds import File, PlainText
from ..config.declared.section import FieldKeys, Inline, Section, parts_of
from ..config.settings import (
    AdminClient,
    RootSettings,
    SecretReference,
    Settings,
    TcpAddress,
    UpstreamSettings,
)
from ..config.settings.root_kinds import ROOT_KINDS
from ..core.rules.model import Behaviour, Rule, Verdict


def redacted(settings: Settings) -> dict[str, Any]:
    """Return the settings for JSON, without any secret."""
    return _section(settings)


def _section(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    declared = dict(parts_of(type(value)))
    shown: dict[str, Any] = {}
    for one in fields(value):
        part, said = declared.get(one.name), getattr(value, one.name)
        if isinstance(part, Inline):
            shown |= _section(said)
        elif said not in (None, (), ""):
            name, kind = one.name, None
            if isinstance(part, FieldKeys) and len(part.keys) == 1:
                name, kind = part.keys[0].name, part.keys[0].kind
                said = dict(said) if isinstance(kind, ByName) else said
            elif isinstance(part, FieldKeys):
                name, said = _alternative(part, name, said)
            shown[name] = getattr(kind, "written", _shown)(said)
    return shown


def _alternative(part: FieldKeys, name: str, said: Any) -> tuple[str, Any]:  # noqa: ANN401 - as below
    """Return which of several keys was given, and its value; `name` where that cannot be told."""
    for key in part.keys:
        if isinstance(key.kind, Section) and isinstance(said, key.kind.of):
            return key.name, said
        if isinstance(said, tuple) and said[0] == key.name:
            return key.name, said[1]
        if type(key.kind) is _KINDS.get(type(said)):
            return key.name, said
    return name, said


_KINDS: Final[Mapping[type, type]] = {str: PlainText, type(Path()): File, tuple: ListOf}


def _shown(value: Any) -> Any:  # noqa: ANN401 - whatever a setting holds, for JSON
    match value:
        case bool() | int() | float() | str():
            return value
        case tuple():
            return [_shown(one) for one in value]
        case frozenset():
            return sorted(value)
        case Mapping():
            return {name: _shown(one) for name, one in value.items()}
    return _object(value)


def _object(value: object) -> Any:  # noqa: ANN401 - as above
    match value:
        case SecretReference() if value.env is not None:
            return {"env": value.env}
        case RootSettings():
            return {ROOT_KINDS[value.kind].key.name: _shown(value.options)}
        case AdminClient():
            return {"name": value.name, value.kind: value.value, "scopes": sorted(value.scopes)}
        case UpstreamSettings():
            scheme = "https" if value.tls else "http"
            plain = not isinstance(value.address, TcpAddress)
            return str(value.address) if plain else f"{scheme}://{value.address}"
        case Rule():
            return _rule(value)
    # Addresses and paths have a text; other dataclasses are sections.
    plain = not is_dataclass(value) or type(value).__str__ is not object.__str__
    return str(value) if plain else _section(value)


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "match": [pattern.text for pattern in rule.patterns],
        "request": _behaviour(rule.request),
        "response": _behaviour(rule.response),
    }


def _behaviour(behaviour: Behaviour) -> Any:  # noqa: ANN401 - a word or a list, for JSON
    if isinstance(behaviour, Verdict):
        return behaviour.value
    return [
        {
            action: fields
            for action, fields in (
                ("encrypt", [item.field for item in block.encrypt]),
                ("decrypt", [item.field for item in block.decrypt]),
                ("search", [item.field for item in block.search]),
            )
            if fields
        }
        for block in behaviour
    ]
