"""The options of the root `shares`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...yaml.nodes import Place, Problems
from ...yaml.scalars import whole
from .. import tables
from ..addresses import Files
from ..tables import Fields, Key, Table
from .kind import RootOptions

MOST_SHARES: Final = 32


@dataclass(frozen=True, slots=True)
class SharesOptions:
    """`needed` shares of the `made` ones open; they are handed in at a Unix socket.

    Its path is a text: the files of a root are watched, and a socket comes and goes.
    """

    needed: int
    made: int
    socket: str


_TABLE: Final = Table(
    "shares",
    "`shares`: operators who open the keyring together",
    (
        Key(
            "needed",
            "whole number",
            f"How many shares open the keyring; 2 to {MOST_SHARES}.",
            tables.number(2, MOST_SHARES),
            required=True,
        ),
        Key(
            "of",
            "whole number",
            f"How many shares are made; at least `needed`, at most {MOST_SHARES}.",
            tables.number(2, MOST_SHARES),
            required=True,
        ),
        Key(
            "socket",
            "path",
            "The Unix socket where `sealyard keys unlock` hands them in, for Sealyard's own user"
            " and group.",
            tables.TEXT,
            required=True,
        ),
    ),
)


def _options(place: Place, files: Files, problems: Problems) -> SharesOptions | None:
    fields = Fields(place, _TABLE, problems)
    needed, made = (
        fields.read(name, whole, problems, low=2, high=MOST_SHARES) for name in ("needed", "of")
    )
    socket = fields.read("socket", files.path, problems)
    if needed is None or made is None or socket is None:
        return None
    if needed > made:
        problems.add(fields["needed"], f"is more than `of`, {made}", f"write at most {made}")
        return None
    return SharesOptions(needed, made, str(socket))


OPTIONS: Final = RootOptions(_options, (_TABLE,))
