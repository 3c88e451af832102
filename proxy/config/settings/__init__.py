"""The settings: the content of the configuration as immutable values, and their declarations.

Paths are absolute, durations are in seconds, sizes in bytes, and secrets are references, never the
secrets themselves.
"""

from __future__ import annotations

from ..declared.addresses import SecretReference as SecretReference
from ..values import Address as Address
from ..values import Network as Network
from ..values import OriginalPort as OriginalPort
from ..values import TcpAddress as TcpAddress
from ..values import UnixAddress as UnixAddress
from ..values import UpstreamSettings as UpstreamSettings
from .admin import AdminClient as AdminClient
from .admin import AdminKubernetes as AdminKubernetes
from .admin import AdminScope as AdminScope
from .admin import AdminSettings as AdminSettings
from .admin import AdminToken as AdminToken
from .file import STALLED_SECONDS as STALLED_SECONDS
from .file import AuditSettings as AuditSettings
from .file import Loaded as Loaded
from .file import Settings as Settings
from .keys import IdentitySettings as IdentitySettings
from .keys import KeySettings as KeySettings
from .keys import PinSettings as PinSettings
from .keys import SessionKeys as SessionKeys
from .listeners import ClientClose as ClientClose
from .listeners import ListenerSettings as ListenerSettings
from .listeners import ListenerTls as ListenerTls
from .listeners import RuleLog as RuleLog
from .listeners import UpstreamTls as UpstreamTls
from .root_kinds import RootSettings as RootSettings
from .store import RedisCluster as RedisCluster
from .store import RedisSentinels as RedisSentinels
from .store import RedisSettings as RedisSettings
