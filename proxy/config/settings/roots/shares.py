"""The options of the root `shares`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...declared.kinds import WholeNumber
from ...declared.section import Fields, Section, setting
from ...yaml.nodes import Problems
from .service import unwatched

MOST_SHARES: Final = 32


@dataclass(frozen=True, slots=True)
class SharesOptions:
    """`needed` shares of the `made` ones open; they are handed in at a Unix socket."""

    needed: int = setting(WholeNumber(2, MOST_SHARES), "How many shares open the keyring.")
    made: int = setting(
        WholeNumber(2, MOST_SHARES), "How many shares are made; at least `needed`.", name="of"
    )
    socket: str = unwatched(
        "The Unix socket where `sealyard keys unlock` hands them in, for Sealyard's own user and"
        " group."
    )


def _check(made: SharesOptions, fields: Fields, problems: Problems) -> None:
    if made.needed > made.made:
        problems.add(
            fields["needed"], f"is more than `of`, {made.made}", f"write at most {made.made}"
        )


OPTIONS: Final = Section(
    SharesOptions, "shares", "`shares`: operators who open the keyring together", check=_check
)
