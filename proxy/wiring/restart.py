"""What only a new process can take: places to listen, the store, and how sessions are kept."""

from __future__ import annotations

from collections.abc import Iterator

from ..config.settings import Settings
from ..core.errors import RestartNeeded


def require_none(old: Settings, new: Settings, file: str) -> None:
    """Raise RestartNeeded, naming every difference, unless `new` can be taken while running."""
    found = tuple(f"{file}: {one}" for one in _differences(old, new))
    if found:
        raise RestartNeeded(found)


def _differences(old: Settings, new: Settings) -> Iterator[str]:
    yield from _listeners(old, new)
    if (old.keys.store, old.keys.redis) != (new.keys.store, new.keys.redis):
        yield "keys.store: another store; restart to use it"
    if _sessions(old) != _sessions(new):
        yield "keys.sessions: another way to keep sessions; restart to use it"
    if old.audit != new.audit:
        yield "audit: another audit log; restart to use it"
    if (old.admin and old.admin.listen) != (new.admin and new.admin.listen):
        yield "admin.listen: another place; restart to move it"
    if _shown(old) != _shown(new):
        yield "admin.status_page, admin.tap: another choice; restart to take it"
    if old.health != new.health:
        yield "health.listen: another place; restart to move it"


def _listeners(old: Settings, new: Settings) -> Iterator[str]:
    before = {one.name: one.listen for one in old.listeners}
    after = {one.name: one.listen for one in new.listeners}
    for name in before.keys() | after.keys():
        if name not in after:
            yield f"listeners: `{name}` is gone; restart to close it"
        elif name not in before:
            yield f"listeners: `{name}` is new; restart to open it"
        elif before[name] != after[name]:
            yield f"listeners: `{name}` listens at another place; restart to move it"


def _shown(settings: Settings) -> tuple[bool, bool]:
    admin = settings.admin
    return (False, False) if admin is None else (admin.status_page, admin.tap)


def _sessions(settings: Settings) -> tuple[str, float, float, float, float]:
    keys = settings.keys
    return keys.mode, keys.ttl, keys.grace, keys.revocation_max_age, keys.package_max_age
