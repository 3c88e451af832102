"""`GET /v1/status` and beneath: what a running service has counted, for others to judge."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from aiohttp.web_request import Request
from aiohttp.web_response import Response

from ...keys.operations import schemas
from ...keys.operations.schemas import FLAG, TEXT, Schema
from ...telemetry.metrics import table
from ...telemetry.metrics.metric import Metric
from ..operation import Endpoint, Operation, Success, json_answer
from ..service import AdminService

_NUMBER: Final[Schema] = {"type": "integer", "minimum": 0}
_REFUSAL: Final[Mapping[str, Schema]] = {
    "direction": TEXT,
    "reason": TEXT,
    "client_name": TEXT,
    "messages": _NUMBER,
    "last": _NUMBER,
}
_UNLISTED: Final[Mapping[str, Schema]] = {
    "place": TEXT,
    "selector": TEXT,
    "messages": _NUMBER,
    "clients": schemas.many(TEXT),
    "sensitive": FLAG,
}
_LISTS: Final[Mapping[str, Schema]] = {
    "match": TEXT,
    "conversation": TEXT,
    "encrypt": schemas.many(TEXT),
    "plain": schemas.many(TEXT),
    "query": schemas.many(TEXT),
}
_RULE: Final[Mapping[str, Schema]] = {
    "listener": TEXT,
    "rule": TEXT,
    "mode": {"enum": ["observe", "permissive", "enforce"]},
    "until": schemas.nullable({"type": "number"}),
    "opens": FLAG,
    "lists": schemas.nullable(schemas.record(_LISTS)),
    "fingerprint": TEXT,
    "since": _NUMBER,
    "seen": FLAG,
    "last": _NUMBER,
    "messages": _NUMBER,
    "refused": _NUMBER,
    "plain": _NUMBER,
    "would_refuse": schemas.many(schemas.record(_REFUSAL)),
    "unlisted": schemas.many(schemas.record(_UNLISTED)),
}
_STEPS: Final[Mapping[str, Schema]] = {
    "at": _NUMBER,
    "counted_since": _NUMBER,
    "kept": FLAG,
    "overflown": FLAG,
    "rules": schemas.many(schemas.record(_RULE)),
}


def _counted(metric: Metric) -> dict[str, Any]:
    """Return the schema of the samples of a metric: its labels, and a number."""
    return schemas.many(schemas.record({**dict.fromkeys(metric.labels, TEXT), "number": _NUMBER}))


_LEAKS: Final[Mapping[str, Schema]] = {
    "messages": _counted(table.TRIALS),
    "values": _counted(table.TRIAL_VALUES),
    "uncovered": _counted(table.UNCOVERED),
    "sensitive": schemas.nullable(_counted(table.SENSITIVE)),
}

STATUS: Final = Operation(
    "status",
    "GET",
    "/v1/status",
    "read",
    "The status of the service: checks, rules with counts, keys, workers.",
    (Success("The status.", schemas.anything()),),
)
STEPS: Final = Operation(
    "steps",
    "GET",
    "/v1/status/steps",
    "read",
    "For each rule: its mode, since when (`seen`: Sealyard has seen it begin), whether it `opens`"
    " values, how many messages, refusals and plain values it has met in this mode, and which"
    " messages the next mode would refuse, from which clients; `last` is when the last was counted."
    " `sealyard status --steps` judges by it whether a step up is safe.",
    (
        Success(
            "The counts of all workers since `counted_since`. They outlive the process where they"
            " are `kept` in `admin.ladder_file`. `rule` is empty for requests that some rule in"
            " mode `observe` would refuse for their path or method. `overflown`: there are more"
            " kinds of refusals than can be counted. `unlisted` are names of requests that a rule"
            " in mode `observe` does not list: how many that succeeded had them, hashes of some of"
            " their clients, and the place as `message.refused` tells it; the `selector` only where"
            " there is evidence that the name is no data. `lists` is what a rule of one path and"
            " one block of requests lists already, for `sealyard init --from`.",
            schemas.record(_STEPS),
        ),
    ),
)
LEAKS: Final = Operation(
    "leaks",
    "GET",
    "/v1/status/leaks",
    "read",
    "What rules in mode `observe` would have done, what no rule covers, and what looks sensitive.",
    (
        Success(
            "The counts of all workers since the start: the metrics `sealyard_trials_total`,"
            " `sealyard_trial_values_total`, `sealyard_uncovered_messages_total` and"
            " `sealyard_sensitive_members_total`. The last is null unless some listener has"
            " `find_sensitive`.",
            schemas.record(_LEAKS),
        ),
    ),
)


def status_endpoints(service: AdminService) -> list[Endpoint]:
    """Return the endpoints that answer with what was counted."""
    return [Endpoint(one, partial(_answered, service, one)) for one in (STATUS, STEPS, LEAKS)]


async def _answered(service: AdminService, operation: Operation, _: Request) -> Response:
    """Answer with what the method of the service returns that has the operation's name."""
    return json_answer(await getattr(service, operation.name)())
