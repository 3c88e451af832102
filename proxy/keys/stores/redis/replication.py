"""Whether a master of Redis takes writes alone, so that in a split there may be two of them."""

from __future__ import annotations

from typing import Final

from ...policy import MOST_REPLICA_LAG_SECONDS
from . import replies
from .client import Client
from .connection import AnsweredError

_NEVER_PROMOTED: Final = "0" * 40


async def problem_of(node: Client, *, replicated: bool) -> str:
    """Return why another master may take writes beside this one, or an empty text.

    `replicated` says that replicas are known of. Else Redis says whether it has or had any, as long
    as it remembers (`repl-backlog-ttl`), and it has none of which it says nothing.
    """
    try:
        said = replies.text(await node.ask("INFO", "replication", read=replies.present))
    except AnsweredError:
        return "it is not known: INFO is not permitted"
    lines = said.decode("ascii", "replace").splitlines()
    facts = {name: value for name, _, value in (line.partition(":") for line in lines)}
    if not (replicated or _had_replicas(facts)):
        return ""
    if "min_slaves_good_slaves" not in facts:  # Redis tells it where both settings are above 0
        return "min-replicas-to-write is 0"
    try:
        told = await node.ask("CONFIG", "GET", "min-replicas-max-lag", read=replies.members)
    except AnsweredError:
        return ""
    lags = [int(replies.text(one)) for one in told.values()]
    if max(lags, default=0) > MOST_REPLICA_LAG_SECONDS:
        return f"min-replicas-max-lag is above {MOST_REPLICA_LAG_SECONDS}"
    return ""


def _had_replicas(facts: dict[str, str]) -> bool:
    alone = {
        "role": "master",
        "connected_slaves": "0",
        "repl_backlog_active": "0",
        "master_replid2": _NEVER_PROMOTED,
    }
    return any(facts.get(name) != value for name, value in alone.items())
