"""The settings: the content of the configuration as immutable values, and their declarations.

Paths are absolute, durations are in seconds, sizes in bytes, and secrets are references, never the
secrets themselves.
"""

from __future__ import annotations

from ..declared.addresses import SecretReference
from ..values import Address, Network, OriginalPort, TcpAddress, UnixAddress, UpstreamSettings
from .admin import (
    ADMIN_SCOPES,
    AdminAccount,
    AdminClient,
    AdminKubernetes,
    AdminScope,
    AdminSettings,
    AdminToken,
)
from .file import STALLED_SECONDS, AuditSettings, HealthSettings, Loaded, Settings
from .keys import (
    IdentitySettings,
    KeyringSettings,
    KeySettings,
    PinMode,
    PinSettings,
    SessionKeys,
)
from .listeners import ClientClose, ListenerSettings, ListenerTls, RuleLog, UpstreamTls
from .root_kinds import RootSettings
from .store import RedisCluster, RedisSentinels, RedisSettings, StoreSettings

__all__ = [
    "ADMIN_SCOPES",
    "STALLED_SECONDS",
    "Address",
    "AdminAccount",
    "AdminClient",
    "AdminKubernetes",
    "AdminScope",
    "AdminSettings",
    "AdminToken",
    "AuditSettings",
    "ClientClose",
    "HealthSettings",
    "IdentitySettings",
    "KeySettings",
    "KeyringSettings",
    "ListenerSettings",
    "ListenerTls",
    "Loaded",
    "Network",
    "OriginalPort",
    "PinMode",
    "PinSettings",
    "RedisCluster",
    "RedisSentinels",
    "RedisSettings",
    "RootSettings",
    "RuleLog",
    "SecretReference",
    "SessionKeys",
    "Settings",
    "StoreSettings",
    "TcpAddress",
    "UnixAddress",
    "UpstreamSettings",
    "UpstreamTls",
]
