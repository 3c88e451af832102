"""The whole file: its sections combined into settings."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ...core.rules.audience import Mask
from ...core.rules.model import Rule
from ..checks import callers, likely_mistakes, memory_fit, seal_open_match
from ..declared.composed import ByName, ListOf
from ..declared.kinds import Version
from ..declared.section import Fields, Section, setting
from ..policy import MAX_RULES
from ..rules.audiences import MASKS, PURPOSES, Nameable
from ..rules.items import FIELD, FieldSyntax
from ..settings import ListenerSettings, Settings
from ..settings.keys import check_loss
from ..yaml.nodes import Problems
from .listeners import LISTENER, WrittenListener, check_together, listener


@dataclass(frozen=True, slots=True, kw_only=True)
class _File(Settings):
    """The file, with its listeners as they are written."""

    version: int = setting(Version(1), "The version of the configuration format.")
    fields: dict[str, FieldSyntax] = setting(
        ByName(FIELD, "fields by name"), "What the backend accepts in each field.", make=dict
    )
    masks: dict[str, Mask] = setting(
        MASKS, "How values are hidden from callers that do not get them whole.", make=dict
    )
    purposes_of_use: tuple[str, ...] = setting(
        PURPOSES, "What callers may say that they need values for.", default=()
    )
    listeners: tuple[WrittenListener, ...] = setting(  # type: ignore[assignment]  # not resolved yet
        ListOf(LISTENER, "list of listeners"), "The listeners."
    )


def _settings(values: dict[str, Any], fields: Fields, problems: Problems) -> Settings | None:
    written, by_name = values.pop("listeners", ()), values.pop("fields", {})
    values.pop("version", None)
    known = Nameable(
        masks=values.pop("masks", {}), purposes=frozenset(values.pop("purposes_of_use", ()))
    )
    listeners = _listeners(written, by_name, known, fields, problems)
    place, keys, audit = fields.place, values.get("keys"), values.get("audit")
    likely_mistakes.check_listeners(fields.get("listeners") or place, listeners, problems)
    callers.check_listeners(fields.get("listeners") or place, listeners, audit, problems)
    likely_mistakes.check_modes(fields.get("listeners") or place, listeners, time.time(), problems)
    memory_fit.check(fields.get("memory"), values.get("memory"), listeners, problems)
    likely_mistakes.check_admin(fields.get("admin") or place, values.get("admin"), problems)
    if keys is None:
        return None
    rules = [rule for one in listeners for rule in one.rules]
    if not problems.count:  # a rule with a mistake would look as if it had no fields
        likely_mistakes.check_fields(fields.get("fields"), rules, problems)
    if keys.sessions.mode == "ephemeral" and any(one.comparable for one in rules):
        told = "a field has an index or the form `equal`, which stays when its keys are erased"
        at = fields.get("fields") or fields["keys"]
        problems.add(at, told, "take it off, or write `keys.sessions.mode: durable`")
    check_loss(fields["keys"], keys, problems, end_to_end=any(map(_issues_packages, rules)))
    if audit is not None:
        values["audit"] = replace(audit, file=audit.beside(keys.keyring.file))
    return Settings(listeners=listeners, **values)


FILE: Final = Section(_File, "file", "The file", make=_settings)


def _listeners(
    written: Iterable[WrittenListener],
    by_name: Mapping[str, FieldSyntax],
    known: Nameable,
    fields: Fields,
    problems: Problems,
) -> tuple[ListenerSettings, ...]:
    found = [listener(one, by_name, known, problems) for one in written]
    check_together(found, problems)
    rules = [rule for one in found for rule in one.rules]
    if len(rules) > MAX_RULES:
        told = f"{len(rules)} rules are too many; the limit is {MAX_RULES}"
        problems.add(fields["listeners"], told)
    if not problems.within("listeners", "fields"):
        # A rule with a mistake would look as if its fields were not sealed.
        seal_open_match.check([rule for one in found for rule in one.rules], problems)
    return tuple(one.settings for one in found if one.settings is not None)


def _issues_packages(rule: Rule) -> bool:
    """Whether a rule seals for recipients, so that key packages are kept in the store."""
    return any("recipients" in item.parties for one in rule.blocks for item in one.encrypt)
