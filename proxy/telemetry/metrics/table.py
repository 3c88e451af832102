"""The table of metrics: what is not declared here is not counted.

Labels are bounded: listeners, rules, codes and reasons come from the configuration and the code,
never from a message. The reference page of metrics is made from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram", "latest", "soonest"]

_MILLISECONDS: Final = (0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500)
SECONDS: Final = (*(each / 1000 for each in _MILLISECONDS), 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""The upper ends of the buckets of durations."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: counters and histograms are summed over workers for ever, gauges while alive.

    Of `latest`, a time, the highest counts, also of workers that are gone; of `soonest` the lowest,
    of those that are alive. For a scraper both are gauges.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str


MESSAGES: Final = Metric(
    "sealyard_messages_total",
    "counter",
    ("listener", "rule", "outcome"),
    "Messages: `forwarded`, `refused` by Sealyard, or `aborted` by the client. `rule` is empty"
    " where no rule matched. Every rule in force has a series from the start, so that one that"
    " matches nothing shows.",
)
RULE_MATCHED: Final = Metric(
    "sealyard_rule_last_matched_timestamp_seconds",
    "latest",
    ("listener", "rule"),
    "When the rule last took a message, in seconds since 1970; 0 where it has not since the start.",
)
VALUES: Final = Metric(
    "sealyard_values_total",
    "counter",
    ("listener", "rule", "direction", "fate"),
    "Values by what became of them: `sealed`, `opened`, `already_sealed`, `plain` (passed as they"
    " were), `kept` (did not open and stayed), `in_markup` (stayed since markup cannot hold them"
    " where they stand), `cut` (cut tokens); messages or records of which nothing was sealed,"
    " since all that their block seals is optional: `unsealed`; and responses with something sealed"
    " in them that fit no block: `unread`.",
)
TRIALS: Final = Metric(
    "sealyard_trials_total",
    "counter",
    ("listener", "rule", "direction", "outcome"),
    "Messages of rules in mode `observe`, by what the rule would have done: `changed`, `unchanged`"
    " (it found nothing to change), or the reason why it would have refused.",
)
TRIAL_VALUES: Final = Metric(
    "sealyard_trial_values_total",
    "counter",
    ("listener", "rule", "direction", "fate"),
    "Values that rules in mode `observe` would have changed, by what would have become of them.",
)
UNCOVERED: Final = Metric(
    "sealyard_uncovered_messages_total",
    "counter",
    ("listener", "method", "shape", "request_type", "response_type"),
    "Messages with a body, and WebSockets, that no rule covers, on listeners with a rule in mode"
    " `observe`, by the shape of their path and the kinds of their bodies.",
)
REFUSALS: Final = Metric(
    "sealyard_refusals_total",
    "counter",
    ("listener", "rule", "direction", "code"),
    "Messages that Sealyard refused, by the code that the client got.",
)
REFUSAL_REASONS: Final = Metric(
    "sealyard_refusal_reasons_total",
    "counter",
    ("listener", "code", "reason"),
    "The same refusals by the reason that the log gives; of `open-failed` it is why nothing opened,"
    " which no client is told.",
)
UPSTREAM_ERRORS: Final = Metric(
    "sealyard_upstream_errors_total",
    "counter",
    ("listener", "code", "reason"),
    "Messages that failed for want of a usable answer of the backend, by the log's reason.",
)
REQUEST_BYTES: Final = Metric(
    "sealyard_request_bytes_total", "counter", ("listener",), "Bytes of request bodies received."
)
RESPONSE_BYTES: Final = Metric(
    "sealyard_response_bytes_total", "counter", ("listener",), "Bytes of response bodies returned."
)
REQUEST_DURATION: Final = Metric(
    "sealyard_request_duration_seconds",
    "histogram",
    ("listener",),
    "From the head of a request to the end of its answer.",
)
UPSTREAM_DURATION: Final = Metric(
    "sealyard_upstream_duration_seconds",
    "histogram",
    ("listener",),
    "From sending a request upstream to the head of the response.",
)
STORE_ERRORS: Final = Metric(
    "sealyard_store_errors_total",
    "counter",
    ("store", "reason"),
    "Times that the store did not answer as it should.",
)
CLIENT_CONNECTIONS: Final = Metric(
    "sealyard_client_connections", "gauge", ("listener",), "Clients that are connected."
)
UPSTREAM_CONNECTIONS: Final = Metric(
    "sealyard_upstream_connections",
    "gauge",
    ("listener", "state"),
    "Connections to the backend, `busy` and `idle`.",
)
SESSIONS: Final = Metric(
    "sealyard_sessions_cached", "gauge", ("use",), "Session keys at hand, for `sealing`, `opening`."
)
SESSION_CREATED: Final = Metric(
    "sealyard_session_created_timestamp_seconds",
    "soonest",
    (),
    "When the oldest session key that seals was made, in seconds since 1970; none while none is at"
    " hand.",
)
SESSION_DUE: Final = Metric(
    "sealyard_session_due_timestamp_seconds",
    "soonest",
    (),
    "When the first of the session keys that seal reaches its soft end and makes room for another,"
    " in seconds since 1970.",
)
SESSION_EXPIRY: Final = Metric(
    "sealyard_session_expiry_timestamp_seconds",
    "soonest",
    (),
    "When the first of them reaches its hard end, after which nobody opens what it sealed, in"
    " seconds since 1970; ephemeral sessions alone have one.",
)
LOOKUPS: Final = Metric(
    "sealyard_session_lookups_total",
    "counter",
    ("result",),
    "Messages that needed session keys: `hit` had them at hand, `miss` had to ask the store first.",
)
KEK_OPENED: Final = Metric(
    "sealyard_kek_opened_total",
    "counter",
    ("kek",),
    "Values that opened under each KEK, and keys of ephemeral sessions that it unwrapped.",
)
KEK_OPENED_AT: Final = Metric(
    "sealyard_kek_last_opened_timestamp_seconds",
    "latest",
    ("kek",),
    "When something last opened under each KEK, in seconds since 1970.",
)
KEK_CREATED: Final = Metric(
    "sealyard_kek_created_timestamp_seconds",
    "soonest",  # so that a KEK that was removed does not live on in what a dead worker counted
    ("kek",),
    "When each KEK was made, in seconds since 1970.",
)
KEYRING_GENERATION: Final = Metric(
    "sealyard_keyring_generation",
    "soonest",
    ("keyring",),
    "The generation of the keyring in use, the lowest of all processes. `keyring` is its id.",
)
KEYRING_STATE: Final = Metric(
    "sealyard_keyring_state",
    "gauge",
    ("state",),
    "Processes for whose keyring something is not as it should be: its file is `older` than what is"
    " in use, the fleet is ahead of it (`behind`), another of the same generation differs"
    " (`forked`), another keyring is used in the same store (`mismatch`), the store's word of it is"
    " forged (`unverified`).",
)
KEK_STATE: Final = Metric(
    "sealyard_kek_state",
    "gauge",
    ("kek", "state"),
    "Processes for which a KEK is `primary`, `decrypt` or `disabled`.",
)
KEK_SESSIONS: Final = Metric(
    "sealyard_kek_sessions_total", "counter", ("kek",), "Sessions begun under each KEK."
)
REVOCATIONS: Final = Metric(
    "sealyard_revocations_total",
    "counter",
    ("kept",),
    "Revocations by the admin API: kept in the `keyring`, in the `store` alone, or by `process`"
    " alone, which forgets it when it ends. What the audit log does not take is not kept in the"
    " keyring.",
)
STORE_QUESTIONS: Final = Metric(
    "sealyard_store_questions_total",
    "counter",
    ("store", "result"),
    "Questions to the store: `answered`, `failed`, or `spared` while it was left alone.",
)
STORE_BREAKER: Final = Metric(
    "sealyard_store_breaker",
    "gauge",
    ("store", "state"),
    "Processes whose circuit breaker is `closed` (all is well), `open` (the store is left alone) or"
    " `half-open` (one question tries it).",
)
STORE_OPENED: Final = Metric(
    "sealyard_store_breaker_opened_total",
    "counter",
    ("store",),
    "Times that a circuit breaker opened.",
)
STORE_HEARS: Final = Metric(
    "sealyard_store_hears",
    "gauge",
    ("store",),
    "Processes that hear at once what others rotate and revoke; the rest find out within"
    " `revocation_max_age`.",
)
STORE_ROOM: Final = Metric(
    "sealyard_store_room",
    "gauge",
    ("store", "state"),
    "Room for session keys and key packages (keys in memory, pages of 4 KiB in SQLite), by whether"
    " it is `taken` or `free`. Where 9 of 10 parts are taken, no conversation that has no key gets"
    " one (`keys-full`).",
)
LINES_LOST: Final = Metric(
    "sealyard_log_lines_lost_total",
    "counter",
    (),
    "Log lines that could not be written, since the reader of stderr is gone or too slow,"
    " or since a processor of `--log-processor` failed.",
)
AUDIT_FAILURES: Final = Metric(
    "sealyard_audit_failures_total",
    "counter",
    (),
    "Events that could not be written to the audit log, and tries to make up for it.",
)
AUDIT_LINES: Final = Metric(
    "sealyard_audit_lines_total", "counter", (), "Lines written to the audit log."
)
AUDIT_BLOCKED: Final = Metric(
    "sealyard_audit_blocked",
    "gauge",
    (),
    "Processes that open nothing, since the audit log cannot be written (`on_failure: block`).",
)
AUDIT_SEQUENCE: Final = Metric(
    "sealyard_audit_last_sequence",
    "latest",
    (),
    "The number of the last line of the audit log. It goes back only where the log was replaced.",
)
POISON: Final = Metric(
    "sealyard_poison_opened_total",
    "counter",
    ("listener", "rule"),
    "Times that somebody tried to open a poison token.",
)
UNACCEPTED: Final = Metric(
    "sealyard_participant_keys_unaccepted_total",
    "counter",
    ("use", "refused"),
    "Keys of participants that nobody accepted (`keys.pins`), counted once by each process.",
)
MEMORY: Final = Metric(
    "sealyard_resident_memory_bytes", "gauge", (), "Memory of all processes that carry traffic."
)
CPU: Final = Metric(
    "sealyard_cpu_seconds_total", "counter", (), "CPU time of all processes that carry traffic."
)
RELOADS: Final = Metric(
    "sealyard_reloads_total", "counter", ("result",), "Reloads: `accepted` or `refused`."
)
RELOADED_OK: Final = Metric(
    "sealyard_last_reload_successful",
    "gauge",
    (),
    "1 if the last reload was accepted (or there was none), 0 if the file on the disk is refused.",
)
RELOADED_AT: Final = Metric(
    "sealyard_last_reload_success_timestamp_seconds",
    "gauge",
    (),
    "When the configuration in force was taken, in seconds since 1970.",
)
CONFIG: Final = Metric(
    "sealyard_config_info", "gauge", ("sha256",), "Always 1; the hash of the file in force."
)
BUILD: Final = Metric(
    "sealyard_build_info", "gauge", ("version", "python"), "Always 1; what is running."
)
READY: Final = Metric("sealyard_ready", "gauge", (), "1 while `/readyz` says yes.")
WORKERS: Final = Metric("sealyard_workers", "gauge", ("state",), "Workers `wanted` and `ready`.")
RESTARTS: Final = Metric(
    "sealyard_worker_restarts_total", "counter", (), "Times that a dead worker was replaced."
)
INJECTOR_REVIEWS: Final = Metric(
    "sealyard_injector_reviews_total",
    "counter",
    ("outcome",),
    "Of the injector: pods that it looked at, by what became of them.",
)
INJECTOR_REFUSALS: Final = Metric(
    "sealyard_injector_refusals_total",
    "counter",
    ("reason",),
    "Of the injector: calls that it answered with an error of HTTP, so that no pod was made.",
)

METRICS: Final = {
    metric.name: metric
    for metric in (
        MESSAGES,
        RULE_MATCHED,
        VALUES,
        TRIALS,
        TRIAL_VALUES,
        UNCOVERED,
        REFUSALS,
        REFUSAL_REASONS,
        UPSTREAM_ERRORS,
        REQUEST_BYTES,
        RESPONSE_BYTES,
        REQUEST_DURATION,
        UPSTREAM_DURATION,
        STORE_ERRORS,
        CLIENT_CONNECTIONS,
        UPSTREAM_CONNECTIONS,
        SESSIONS,
        SESSION_CREATED,
        SESSION_DUE,
        SESSION_EXPIRY,
        LOOKUPS,
        KEK_OPENED,
        KEK_OPENED_AT,
        KEK_CREATED,
        KEYRING_GENERATION,
        KEYRING_STATE,
        KEK_STATE,
        KEK_SESSIONS,
        REVOCATIONS,
        STORE_QUESTIONS,
        STORE_BREAKER,
        STORE_OPENED,
        STORE_HEARS,
        STORE_ROOM,
        LINES_LOST,
        AUDIT_FAILURES,
        AUDIT_LINES,
        AUDIT_BLOCKED,
        AUDIT_SEQUENCE,
        POISON,
        UNACCEPTED,
        MEMORY,
        CPU,
        RELOADS,
        RELOADED_OK,
        RELOADED_AT,
        CONFIG,
        BUILD,
        READY,
        WORKERS,
        RESTARTS,
        INJECTOR_REVIEWS,
        INJECTOR_REFUSALS,
    )
}
