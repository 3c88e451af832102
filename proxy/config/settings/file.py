"""The settings of a whole file, and its small sections."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ..declared.addresses import Listen
from ..declared.kinds import HOUR, Choice, Duration, File, Size
from ..declared.section import Section, setting
from ..values import Address
from .admin import ADMIN, AdminSettings
from .keys import KEYS, KeySettings
from .listeners import ListenerSettings

STALLED_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """The health listener: for probes and scrapers, without a token.

    `stalled_after` seconds without a heartbeat of the traffic's event loop, the process counts as
    stalled.
    """

    listen: Address = setting(
        Listen(), "Where probes and scrapers connect, without a token.", restart=True
    )
    stalled_after: float = setting(
        Duration(high=HOUR),
        "After how long without a heartbeat of the event loop that carries the traffic (of any"
        " worker) `/livez` and `/readyz` return 503. No load should hold it up for as long.",
        default=STALLED_SECONDS,
    )


HEALTH: Final = Section(HealthSettings, "health", "`health`")


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """The audit log, which running processes and commands append to.

    With `block`, an operation that cannot be recorded is refused; without it, it is done, and the
    failure is counted and logged.
    """

    file: Path = setting(
        File(),
        "The log file; all processes on this machine append to it.",
        default=Path(),
        absent="the path of the keyring with `.audit` added",
    )
    block: bool = setting(
        Choice(block=True, warn=False),
        "What happens if a record cannot be written: `block` refuses the operation and every"
        " message in which a value would be opened; `warn` continues, counts the failure and logs"
        " it.",
        default=True,
        name="on_failure",
    )
    opens: Literal["all", "values-and-masks", "none"] = setting(
        Choice("all", "values-and-masks", "none"),
        "For which messages that open something there is a line: who asked, under which rule, and"
        " how many values of which field came out as what. `values-and-masks` leaves out those in"
        " which every value stayed a token or was left out. With `on_failure: block`, a message"
        " goes on once its line is on the disk.",
        default="none",
    )
    clear_subjects: bool = setting(
        Choice(hashed=False, clear=True),
        "How lines name a verified caller, beside its name in `callers`: by a keyed hash of issuer"
        " and subject alone, or in clear, too.",
        default=False,
        name="subjects",
    )

    def beside(self, keyring: Path) -> Path:
        """Return the log file: that of the keyring, if none is named."""
        return keyring.with_name(f"{keyring.name}.audit") if self.file == Path() else self.file


AUDIT: Final = Section(AuditSettings, "audit", "`audit`")


@dataclass(frozen=True, slots=True)
class Settings:
    """The content of one configuration file."""

    keys: KeySettings = setting(KEYS, "The keyring, the store and session keys.")
    listeners: tuple[ListenerSettings, ...] = ()
    admin: AdminSettings | None = setting(ADMIN, "The admin API.", default=None)
    health: HealthSettings | None = setting(HEALTH, "The health listener.", default=None)
    audit: AuditSettings | None = setting(
        AUDIT,
        "The audit log of running processes. Without it, only changes of the keyring are recorded,"
        " in a file beside it.",
        default=None,
        restart=True,
    )
    memory: int | None = setting(
        Size(),
        "How much memory all processes may take. Messages wait, and requests are refused with 503,"
        " before more is taken.",
        absent="the limit of the control group; without one, there is none",
    )


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings of a file without mistakes, and warnings for its author.

    Each warning is one line: `file:line:column path message`.
    """

    settings: Settings
    warnings: tuple[str, ...] = ()
    file: Path = Path()
