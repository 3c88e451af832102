"""The table of log events: what is not declared here is never written.

An event is a name, a level and the keys that its line may carry. Keys hold names, codes, sizes and
durations, never a value of a message. The reference page of events is made from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of log line."""

    name: str
    level: Level
    keys: tuple[str, ...]
    meaning: str


_TRIAL_KEYS: Final = (
    "observed",
    "would_be_sealed",
    "would_be_opened",
    "would_be_already_sealed",
    "would_be_kept",
    "would_be_in_markup",
    "would_be_plain",
    "would_be_cut",
    "would_be_unsealed",
    "would_be_unread",
    "would_fail",
    "response_would_be_sealed",
    "response_would_be_opened",
    "response_would_be_already_sealed",
    "response_would_be_kept",
    "response_would_be_in_markup",
    "response_would_be_plain",
    "response_would_be_cut",
    "response_would_be_unsealed",
    "response_would_be_unread",
    "response_would_fail",
    "shape",
    "request_type",
    "response_type",
)
_OBSERVED_KEYS: Final = ("request_id", "listener", "method", "rule", *_TRIAL_KEYS)

# The one canonical line of a message, whether it was forwarded or refused.
_MESSAGE_KEYS: Final = (
    "request_id",
    "listener",
    "method",
    "rule",
    "status",
    "error",
    "reason",
    "direction",
    "duration_ms",
    "upstream_ms",
    "request_bytes",
    "response_bytes",
    "sealed",
    "opened",
    "already_sealed",
    "kept",
    "in_markup",
    "plain",
    "cut",
    "unsealed",
    "unread",
    "response_sealed",
    "response_opened",
    "response_already_sealed",
    "response_kept",
    "response_in_markup",
    "response_plain",
    "response_cut",
    "response_unsealed",
    "response_unread",
    *_TRIAL_KEYS,
    "sample",
)

OWN_KEYS: Final = frozenset(
    {"kid", "mac", "participant", "previous", "request_id", "scope", "sha256", "sid"}
)
"""Keys of what Sealyard makes itself: random by nature and no secret, so the scrubber passes by."""

_TABLE: Final = (
    Event("server.started", "info", ("version", "python", "pid"), "The process has begun."),
    Event("server.ready", "info", ("listeners", "duration_ms"), "Every listener accepts."),
    Event("server.stopping", "info", ("signal", "grace_s"), "No new connection is accepted."),
    Event("server.stopped", "info", ("duration_ms", "aborted"), "The last connection has ended."),
    Event(
        "process.hardened",
        "info",
        ("core_dumps", "dumpable", "umask", "missing"),
        "What the process did against core dumps and readers of its memory;"
        " `missing` names what this machine does not offer.",
    ),
    Event("listener.started", "info", ("listener", "address", "upstream"), "A listener accepts."),
    Event(
        "server.draining",
        "info",
        ("signal", "delay_s"),
        "Readiness says no; connections are still accepted for `delay_s`.",
    ),
    Event(
        "config.loaded",
        "info",
        ("file", "sha256", "listeners", "rules", "cause", "duration_ms", "swap_ms"),
        "A configuration is in force. `cause` is start, signal, file or admin; `swap_ms` is how"
        " long the change itself took, the rest was done beside the traffic.",
    ),
    Event(
        "config.refused",
        "error",
        ("file", "cause", "reason", "problems", "duration_ms"),
        "A new configuration cannot be taken; the old one stays in force. `problems` is how many"
        " lines of `config.problem` follow.",
    ),
    Event(
        "config.problem",
        "error",
        ("problem",),
        "One reason why a configuration was refused. What the file says there is not repeated,"
        " since it may be a secret in the wrong place; `sealyard validate` shows it.",
    ),
    Event(
        "admin.started",
        "info",
        ("listener", "address"),
        "The admin or health listener accepts.",
    ),
    Event(
        "admin.called",
        "info",
        ("listener", "request_id", "method", "route", "status", "error", "caller", "peer"),
        "Somebody called the admin API. Written before the answer goes out; `route` is one of"
        " the API's own, never what was asked for; `caller` is the name of right credentials.",
    ),
    Event(
        "participant.changed",
        "warning",
        ("participant", "kid", "action"),
        "The keys of a participant changed by the admin API: `action` is add, rotate, revoke,"
        " expire or accept; `participant` is the name of their record, a keyed hash.",
    ),
    Event(
        "worker.started",
        "info",
        ("worker", "worker_pid", "restarts"),
        "A worker process was started.",
    ),
    Event(
        "worker.ready",
        "info",
        ("worker", "worker_pid", "duration_ms"),
        "A worker accepts.",
    ),
    Event(
        "worker.died",
        "error",
        ("worker", "worker_pid", "exit_code", "restart_in_s"),
        "A worker ended without having been asked; a negative `exit_code` is a signal's number.",
    ),
    Event(
        "config.warning",
        "warning",
        ("file", "line", "path", "warning"),
        "The configuration is accepted and probably not what was meant.",
    ),
    Event(
        "keyring.opened",
        "info",
        ("file", "root", "keyring", "generation", "primary", "keks", "duration_ms"),
        "The keyring is open. `keyring` is the beginning of its id.",
    ),
    Event(
        "keyring.older",
        "warning",
        ("keyring", "generation", "file_generation"),
        "The file holds an older generation of the keyring than this process has used, which goes"
        " on with what it has. What the file revokes and disables is taken from it.",
    ),
    Event(
        "keyring.behind",
        "warning",
        ("keyring", "generation", "fleet_generation", "lacks_sealing_kek"),
        "Other processes have a later generation of the keyring, as they do while a change is"
        " rolled out. What they have disabled is disabled here too. With `lacks_sealing_kek`, what"
        " they seal does not open here.",
    ),
    Event(
        "keyring.forked",
        "error",
        ("keyring", "generation"),
        "Two keyrings have one id and one generation and differ in their KEKs: two copies were"
        " changed apart from each other.",
    ),
    Event(
        "keyring.mismatch",
        "error",
        ("keyring", "others"),
        "Other keyrings are used in the same place of the store: what one process seals, the other"
        " cannot open. Nobody can verify who says so.",
    ),
    Event(
        "keyring.unverified",
        "warning",
        ("keyring", "generation"),
        "What the store says of the fleet's keyring was written by nobody who has it, and is not"
        " believed.",
    ),
    Event(
        "keyring.older_accepted",
        "warning",
        ("keyring", "generation"),
        "An operator had this generation accepted, whatever later one is known (`--accept-older`).",
    ),
    Event(
        "key.session_created",
        "info",
        ("sid", "kek", "mode", "ttl_s"),
        "A conversation has its first session key, as far as the process knows that made it.",
    ),
    Event(
        "key.session_rotated",
        "info",
        ("sid", "previous", "kek", "mode", "cause", "ttl_s"),
        "A new session key takes over; the previous one still opens. `cause` is `age`, `use` (it"
        " has sealed as much as it may), `revoked` or `admin`.",
    ),
    Event(
        "key.erased",
        "warning",
        ("scope", "keys", "store", "source"),
        "The ephemeral session keys of a conversation were destroyed, on demand.",
    ),
    Event(
        "audit.failed",
        "error",
        ("file", "reason", "blocks"),
        "The audit log could not be written. Where it `blocks`, nothing is done that should stand"
        " there, and no message is opened until it can be.",
    ),
    Event(
        "audit.off",
        "warning",
        ("file", "reason"),
        "There is no audit log: the configuration names none, and none can be written beside the"
        " keyring.",
    ),
    Event(
        "audit.anchored",
        "info",
        ("file", "sequence", "mac"),
        "How far the audit log has come: told at the start, each ten minutes and in the end."
        " `sealyard audit verify --anchor SEQUENCE:MAC` shows whether the log still holds that"
        " line.",
    ),
    Event(
        "poison.opened",
        "error",
        ("sid", "listener", "rule", "direction", "request_id", "shut"),
        "Somebody tried to open a poison token, which nobody should ever do. `sid` is the one that"
        " `sealyard audit plant` told; `shut` says whether the rule is shut now.",
    ),
    Event(
        "package.issued",
        "info",
        ("sid", "issue", "cause", "recipients", "keys", "ttl_s"),
        "A key package was made and stored. `cause` is first, spent, revoked, rotated,"
        " recipient-added (the same session key, one `issue` more) or key-gone (a new one).",
    ),
    Event(
        "participant.pinned",
        "info",
        ("participant", "kid", "use"),
        "A participant's key was used for the first time: from now on a key in its place is told"
        " of. `participant` is the name of their record, a keyed hash.",
    ),
    Event(
        "participant.unaccepted",
        "error",
        ("participant", "kid", "use", "refused"),
        "A participant has a key that nobody accepted (`keys.pins`); with `refused` it is not used."
        " Told once by each process.",
    ),
    Event(
        "identity.unopened",
        "warning",
        ("kid",),
        "A participant's private key does not open by what `keys.identities` says; it is tried"
        " again in a minute.",
    ),
    Event(
        "key.revoked",
        "warning",
        ("scope", "not_before", "durable", "store", "unknown", "source"),
        "Session keys made before `not_before` neither seal nor open; `scope` is a hash. `store` is"
        " whether the store holds it, read back and verified; `unknown` that nothing was known of"
        " the scope.",
    ),
    Event(
        "message.handled",
        "info",
        _MESSAGE_KEYS,
        "A message went through: one line for each, or for a share of them where the rule says so:"
        " then `sample` is that share.",
    ),
    Event(
        "message.observed",
        "debug",
        _OBSERVED_KEYS,
        "What a rule in mode `observe` would have done to one message of a WebSocket; with `shape`,"
        " a WebSocket that no rule covers.",
    ),
    Event(
        "message.refused",
        "warning",
        _MESSAGE_KEYS,
        "Sealyard refused a message: `error` is the code that the client got, `reason` the cause."
        " Stands in place of `message.handled`.",
    ),
    Event(
        "response.unread",
        "warning",
        ("request_id", "listener", "rule"),
        "A response with something sealed in it passed unread: its type fits no block of its rule,"
        " and its body is not what the rule reads. Told at most once an hour for each rule; the"
        " fate `unread` counts them all.",
    ),
    Event(
        "store.failed",
        "warning",
        ("store", "operation", "reason", "exception", "duration_ms"),
        "The store did not answer as it should; durable sessions go on without it.",
    ),
    Event(
        "store.warning",
        "warning",
        ("store", "check", "warning"),
        "Something about the store is risky, or it did not answer at the start.",
    ),
    Event(
        "library.message",
        "warning",
        ("logger", "where", "exception", "raised_at"),
        "A library logged something, at the level of the line. Its text is withheld, since"
        " libraries put values into texts; `where` is the place in its code.",
    ),
    Event(
        "library.warning",
        "warning",
        ("category", "where"),
        "Python issued a warning; its text is withheld.",
    ),
    Event("tracing.started", "info", (), "Spans of messages are sent to a collector."),
    Event(
        "tracing.unavailable",
        "warning",
        ("reason",),
        "The environment asks for traces (OTEL_EXPORTER_OTLP_ENDPOINT), and they cannot be made:"
        " the packages of `sealyard[otel]` are missing, or a variable is wrong. Messages are"
        " carried without.",
    ),
    Event("injector.started", "info", ("version", "address"), "The injector's webhook accepts."),
    Event(
        "injector.reviewed",
        "info",
        ("namespace", "outcome", "problems"),
        "A pod was looked at: `injected`, `unchanged`, `disabled` by its label, or `denied` for as"
        " many reasons as `problems` tells; they stand in the answer to the API server.",
    ),
    Event(
        "injector.refused",
        "warning",
        ("reason", "status"),
        "A call of the webhook that was no AdmissionReview.",
    ),
    Event(
        "injector.certificate",
        "warning",
        ("renewed", "reason"),
        "The files of the webhook's certificate changed. Where they cannot be used, the one before"
        " stays in force.",
    ),
    Event(
        "exception.unhandled",
        "error",
        ("source", "exception", "raised_at", "context"),
        "Nobody caught an exception. `source` is main, thread, unraisable or asyncio.",
    ),
    Event(
        "log.undeclared",
        "warning",
        ("where",),
        "The code reported an event that this table does not know: a mistake in Sealyard, in its"
        " code at `where`.",
    ),
)

EVENTS: Final = {event.name: event for event in _TABLE}
