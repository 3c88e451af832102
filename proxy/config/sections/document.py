"""The whole file: its sections combined into settings."""

from __future__ import annotations

import time
from typing import Final

from ...core.rules.model import Rule
from ..checks import likely_mistakes, seal_open_match
from ..rules.rule_reader import fields_by_name
from ..schema.addresses import Files
from ..schema.file_keys import AUDIT, FILE, HEALTH, ON_FAILURE, VERSION
from ..schema.tables import Fields
from ..settings import AuditSettings, HealthSettings, KeySettings, ListenerSettings, Settings
from ..settings.keys import KEYS, check_loss
from ..yaml.nodes import Place, Problems
from ..yaml.scalars import choice, elements, format_version, positive_duration
from .admin import admin_settings
from .listeners import MAX_RULES, check_together, listener


def audit_settings(
    place: Place | None, keys: KeySettings | None, files: Files, problems: Problems
) -> AuditSettings | None:
    """Return the audit log's settings; None if not given, or after reporting what is wrong."""
    if place is None:
        return None
    fields = Fields(place, AUDIT, problems)
    block = fields.read("on_failure", choice, ON_FAILURE, problems) != "warn"
    file = fields.read("file", files.path, problems)
    if fields.get("file") is None and keys is not None:
        keyring = keys.keyring.file
        file = keyring.with_name(f"{keyring.name}.audit")
    return None if file is None else AuditSettings(file, block)


_MOST_STALLED_SECONDS: Final = 3600.0


def settings(place: Place, files: Files, problems: Problems) -> Settings | None:
    """Return what the file says, or None after reporting what is wrong."""
    fields = Fields(place, FILE, problems)
    fields.read("version", format_version, VERSION, problems)
    keys = fields.read("keys", KEYS.read, problems)
    admin = admin_settings(fields.get("admin"), files, problems)
    health = _health(fields.get("health"), files, problems)
    audit = audit_settings(fields.get("audit"), keys, files, problems)
    listeners = _listeners(fields, files, problems)
    likely_mistakes.check_listeners(fields.get("listeners") or place, listeners, problems)
    likely_mistakes.check_modes(fields.get("listeners") or place, listeners, time.time(), problems)
    likely_mistakes.check_admin(fields.get("admin") or place, admin, problems)
    if keys is None:
        return None
    rules = [rule for one in listeners for rule in one.rules]
    if not problems.count:  # a rule with a mistake would look as if it had no fields
        likely_mistakes.check_fields(fields.get("fields"), rules, problems)
    check_loss(fields["keys"], keys, problems, end_to_end=any(map(_issues_packages, rules)))
    return Settings(keys, listeners, admin, health, audit)


def _listeners(fields: Fields, files: Files, problems: Problems) -> tuple[ListenerSettings, ...]:
    before = problems.count
    by_name = fields_by_name(fields.get("fields"), problems)
    place = fields.get("listeners")
    places = [] if place is None else elements(place, problems)
    found = [listener(one, by_name, files, problems) for one in places]
    check_together(found, problems)
    rules = [rule for one in found for rule in one.rules]
    if place is not None and len(rules) > MAX_RULES:
        problems.add(place, f"{len(rules)} rules are too many; the limit is {MAX_RULES}")
    if problems.count == before:
        # A rule with a mistake would look as if its fields were not sealed.
        seal_open_match.check(rules, problems)
    return tuple(one.settings for one in found if one.settings is not None)


def _issues_packages(rule: Rule) -> bool:
    """Whether a rule seals for recipients, so that key packages are kept in the store."""
    return any("recipients" in item.parties for one in rule.blocks for item in one.encrypt)


def _health(place: Place | None, files: Files, problems: Problems) -> HealthSettings | None:
    if place is None:
        return None
    fields = Fields(place, HEALTH, problems)
    listen = fields.read("listen", files.listen, problems)
    after = fields.read("stalled_after", positive_duration, problems, high=_MOST_STALLED_SECONDS)
    if listen is None:
        return None
    return HealthSettings(listen) if after is None else HealthSettings(listen, after)
