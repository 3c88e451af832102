"""The section `audit`."""

from __future__ import annotations

from .addresses import Files
from .fields import Fields
from .file_keys import AUDIT, ON_FAILURE
from .positions import Place
from .problems import Problems
from .settings import AuditSettings, KeySettings
from .values import choice


def audit_settings(
    place: Place | None, keys: KeySettings | None, files: Files, problems: Problems
) -> AuditSettings | None:
    """Return where the audit log is; None where nothing is said, or after telling what is wrong."""
    if place is None:
        return None
    fields = Fields(place, AUDIT, problems)
    file_place, on_failure = fields.get("file"), fields.get("on_failure")
    block = on_failure is None or choice(on_failure, ON_FAILURE, problems) != "warn"
    if file_place is not None:
        file = files.path(file_place, problems)
    else:
        file = None if keys is None else keys.keyring.with_name(f"{keys.keyring.name}.audit")
    return None if file is None else AuditSettings(file, block)
