"""The audit log: one JSON line an event, each of which commits to all lines before it."""

from __future__ import annotations

from .line import Value
from .log import AuditLog, Entry, file_beside
from .trail import Trail

__all__ = ["AuditLog", "Entry", "Trail", "Value", "file_beside"]
