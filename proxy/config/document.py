"""The whole file: its sections put together as settings."""

from __future__ import annotations

from typing import Final

from ..core.rules.model import Rule
from . import agreement
from .addresses import Files
from .admin_section import admin_settings
from .audit_section import audit_settings
from .fields import Fields
from .file_keys import FILE, HEALTH
from .key_section import check_loss, key_settings
from .listeners import check_together, listener
from .positions import Place
from .problems import Problems
from .rule_syntax import fields_by_name
from .rules_section import MAX_RULES
from .settings import HealthSettings, ListenerSettings, Settings
from .syntax import CommonSyntax
from .values import elements, whole

VERSIONS: Final = (1, 2)
"""The versions of configurations that this program reads; the last is what `init` writes."""
MOST: Final = 1_000_000


def settings(place: Place, files: Files, problems: Problems) -> Settings | None:
    """Return what the file says, or None after telling what is wrong."""
    fields = Fields(place, FILE, problems)
    keys_place = fields.get("keys")
    version = _version(fields.get("version"), problems)
    keys = None if keys_place is None else key_settings(keys_place, files, problems)
    admin = admin_settings(fields.get("admin"), files, problems)
    health = _health(fields.get("health"), files, problems)
    audit = audit_settings(fields.get("audit"), keys, files, problems)
    listeners = _listeners(fields, version, files, problems)
    if keys is None or keys_place is None:
        return None
    rules = [rule for one in listeners for rule in one.rules]
    check_loss(keys_place, keys, version, problems, end_to_end=any(map(_issues_packages, rules)))
    return Settings(version, keys, listeners, admin, health, audit)


def _version(place: Place | None, problems: Problems) -> int:
    said = None if place is None else whole(place, problems, low=0, high=MOST)
    if said in VERSIONS:
        return said
    if place is not None and said is not None:
        known = " and ".join(map(str, VERSIONS))
        problems.add(place, "is another version", f"this program reads {known}")
    return VERSIONS[-1]


def _listeners(
    fields: Fields, version: int, files: Files, problems: Problems
) -> tuple[ListenerSettings, ...]:
    before = problems.count
    common = CommonSyntax(version, fields_by_name(fields.get("fields"), problems))
    place = fields.get("listeners")
    places = [] if place is None else elements(place, problems)
    found = [listener(one, common, files, problems) for one in places]
    check_together(found, problems)
    rules = [rule for one in found for rule in one.rules]
    if place is not None and len(rules) > MAX_RULES:
        problems.add(place, f"{len(rules)} rules are too many; {MAX_RULES} at most")
    if problems.count == before:
        # A rule that is not understood would look as if its fields were not sealed.
        agreement.check(rules, problems)
    return tuple(one.settings for one in found if one.settings is not None)


def _issues_packages(rule: Rule) -> bool:
    """Whether a rule seals for recipients, whose key packages stand in the store."""
    blocks = [
        one for each in (rule.request, rule.response) if isinstance(each, tuple) for one in each
    ]
    return any("recipients" in item.parties for one in blocks for item in one.encrypt)


def _health(place: Place | None, files: Files, problems: Problems) -> HealthSettings | None:
    if place is None:
        return None
    listen_place = Fields(place, HEALTH, problems).get("listen")
    listen = None if listen_place is None else files.listen(listen_place, problems)
    return None if listen is None else HealthSettings(listen)
