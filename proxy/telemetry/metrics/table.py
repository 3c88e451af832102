"""The table of metrics: only what is declared here is counted.

Labels are bounded: listeners, rules, codes, reasons and methods come from the configuration and the
code, never from a message. The reference page of metrics is generated from this table.
"""

from __future__ import annotations

from typing import Final

from . import callers, store, upstream
from .metric import FINE_SECONDS, Metric

MESSAGES: Final = Metric(
    "sealyard_messages_total",
    "counter",
    ("listener", "rule", "outcome"),
    "Messages, by outcome: `forwarded`, `refused` by Sealyard, `failed` because the backend gave no"
    " usable response, or `aborted` by the client. `rule` is empty if no rule matched. Every rule"
    " in force has a series from the start, so a rule that matches nothing is visible.",
)
RULE_MATCHED: Final = Metric(
    "sealyard_rule_last_matched_timestamp_seconds",
    "latest",
    ("listener", "rule"),
    "When the rule last matched a message, in seconds since 1970; 0 if it has not since the start.",
)
VALUES: Final = Metric(
    "sealyard_values_total",
    "counter",
    ("listener", "rule", "direction", "outcome"),
    "Values, by outcome: `sealed`, `opened`, `already_sealed`, `plain` (passed unchanged), `kept`"
    " (did not open, passed as a token), `in_markup` (passed as a token, because markup cannot"
    " hold the value in that place), `cut` (truncated tokens), and of what a caller does not get"
    " as it is, `masked`, `token` (it stays sealed), `absent` (left out). Also messages or records"
    " of which nothing was sealed, because all that their block seals is optional: `unsealed`; and"
    " responses that contain something sealed and fit no block: `unread`; and records that passed"
    " because their block names them: `sentinel`. Also values that were searched for: `searched`;"
    " and elements of answers to searches: `found`, or `filtered` because they do not fit.",
)
TRIALS: Final = Metric(
    "sealyard_trials_total",
    "counter",
    ("listener", "rule", "direction", "outcome"),
    "Messages of rules in mode `observe`, by what the rule would have done: `changed`, `unchanged`"
    " (it found nothing to change), or the reason for which it would have refused the message.",
)
WOULD_REFUSE: Final = Metric(
    "sealyard_step_up_refusals_total",
    "counter",
    ("listener", "rule", "direction", "reason", "client_name"),
    "Messages that their rule would refuse one step up for what it lets pass now: in mode"
    " `permissive` if it is in mode `observe`, in mode `enforce` if it is in mode `permissive`."
    " Each message, also a WebSocket, counts once, with what would be refused first."
    " `rule` is empty where some rule in mode `observe` would refuse the message for its path or"
    " method. `client_name` is one of the listener's `client_names`, `other` for clients that are"
    " none of them, and empty without any.",
)
SENSITIVE: Final = Metric(
    "sealyard_sensitive_members_total",
    "counter",
    ("listener", "rule", "method", "shape", "direction", "member", "kind"),
    "Messages with a member that looks sensitive and that no rule seals, among those that"
    " listeners with `find_sensitive` look at. `shape` is that of the path where no rule matched.",
)
TRIAL_VALUES: Final = Metric(
    "sealyard_trial_values_total",
    "counter",
    ("listener", "rule", "direction", "outcome"),
    "Values that rules in mode `observe` would have changed, by the outcome they would have had.",
)
UNCOVERED: Final = Metric(
    "sealyard_uncovered_messages_total",
    "counter",
    ("listener", "method", "shape", "request_type", "response_type"),
    "Messages with a body, and WebSockets, that no rule covers, on listeners with a rule in mode"
    " `observe`, by the shape of their path and the types of their bodies.",
)
UNCOVERED_WRITES: Final = Metric(
    "sealyard_uncovered_writes_total",
    "counter",
    ("listener",),
    "Requests by POST, PUT or PATCH, and WebSockets, that no rule matched: they were sent to the"
    " backend as they came, in plaintext (`unmatched: pass`), however they ended. From the start on"
    " of every such listener.",
)
REFUSALS: Final = Metric(
    "sealyard_refusals_total",
    "counter",
    ("listener", "rule", "direction", "code"),
    "Messages that Sealyard refused, by the error code in the response. Failures of the backend are"
    " in `sealyard_upstream_errors_total`.",
)
REFUSAL_REASONS: Final = Metric(
    "sealyard_refusal_reasons_total",
    "counter",
    ("listener", "direction", "code", "reason"),
    "The same refusals, by the reason in the log. For `open-failed` it says why a value did not"
    " open, which responses do not say.",
)
UPSTREAM_ERRORS: Final = Metric(
    "sealyard_upstream_errors_total",
    "counter",
    ("listener", "rule", "code", "reason"),
    "Messages that failed because the backend gave no usable response, by the reason in the log:"
    " `message.failed`.",
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
    ("listener", "rule", "method", "status_class", "outcome"),
    "Time from the head of a request to the end of its response; `_count` is the number of requests"
    " by all of these labels. `status_class` is `2xx` and so on; a client that left has `4xx` and"
    " the outcome `aborted`. `method` is one of the methods of HTTP and WebDAV, `_OTHER` for any"
    " other, and empty for what is not valid HTTP. A WebSocket is one request of `1xx`, whose"
    " duration is that of its connection.",
)
UPSTREAM_DURATION: Final = Metric(
    "sealyard_upstream_duration_seconds",
    "histogram",
    ("listener", "rule"),
    "Time from sending a request upstream to the head of the response.",
)
CRYPTO_DURATION: Final = Metric(
    "sealyard_crypto_duration_seconds",
    "histogram",
    ("listener", "rule", "direction"),
    "Time to seal and open the values of a body whose keys are there, of one message in"
    " 16; where the message is changed without a plan, with the search for the values. Not of"
    " streams and WebSockets.",
    FINE_SECONDS,
)
CLIENTS_REFUSED: Final = Metric(
    "sealyard_clients_refused_total",
    "counter",
    ("listener", "reason"),
    "Connections of clients that were not served. By `reason`, with an answer (503): `clients`"
    " and `clients-per-address` (the limits of these names), `descriptors` (hardly any file"
    " descriptor is left), `workers` (no worker accepts connections; without an answer where the"
    " listener has TLS). Without one: `accept` (accepting failed, since no descriptor was left;"
    " the connections wait in the kernel), `proxy-peer` (`proxy_protocol`, and not one of the"
    " `trusted_proxies`), `proxy-header` (no valid PROXY header in time), `tls` (no TLS"
    " handshake in time).",
)
CLIENT_CONNECTIONS: Final = Metric(
    "sealyard_client_connections", "gauge", ("listener",), "Connected clients."
)
UPSTREAM_CONNECTIONS: Final = Metric(
    "sealyard_upstream_connections",
    "gauge",
    ("listener", "state"),
    "Connections to the backend, by state: `busy` or `idle`.",
)
SESSIONS: Final = Metric(
    "sealyard_sessions_cached",
    "gauge",
    ("use",),
    "Cached session keys, for `sealing` and `opening`.",
)
SESSION_CREATED: Final = Metric(
    "sealyard_session_created_timestamp_seconds",
    "soonest",
    (),
    "When the oldest cached session key that seals was made, in seconds since 1970; absent if"
    " none is cached.",
)
SESSION_DUE: Final = Metric(
    "sealyard_session_due_timestamp_seconds",
    "soonest",
    (),
    "When the first of the session keys that seal reaches its soft end and is replaced by a new"
    " one, in seconds since 1970.",
)
SESSION_EXPIRY: Final = Metric(
    "sealyard_session_expiry_timestamp_seconds",
    "soonest",
    (),
    "When the first of them reaches its hard end, after which what it sealed cannot be opened, in"
    " seconds since 1970; only ephemeral sessions have one.",
)
LOOKUPS: Final = Metric(
    "sealyard_session_lookups_total",
    "counter",
    ("result",),
    "Messages that needed session keys: `hit` (all were cached) or `miss` (the store was queried).",
)
KEK_OPENED: Final = Metric(
    "sealyard_kek_opened_total",
    "counter",
    ("kek",),
    "Values opened under each KEK, and keys of ephemeral sessions that it unwrapped.",
)
KEK_OPENED_AT: Final = Metric(
    "sealyard_kek_last_opened_timestamp_seconds",
    "latest",
    ("kek",),
    "When something was last opened under each KEK, in seconds since 1970.",
)
KEK_CREATED: Final = Metric(
    "sealyard_kek_created_timestamp_seconds",
    "soonest",  # so that a KEK that was removed does not live on in what a dead worker counted
    ("kek",),
    "When each KEK was made, in seconds since 1970.",
)
ROOT_OPENED_AT: Final = Metric(
    "sealyard_root_opened_timestamp_seconds",
    "soonest",
    ("kind",),
    "When a root last opened the keyring, in seconds since 1970; the earliest of all processes."
    " Without a lease, a root is asked at the start and at a reload only.",
)
ROOT_REFUSED: Final = Metric(
    "sealyard_root_refused",
    "gauge",
    ("kind",),
    "Processes in which this kind of root did not open the keyring when it was last asked.",
)
ROOT_LEASE_LEFT: Final = Metric(
    "sealyard_root_lease_left_seconds",
    "soonest",
    (),
    "How long the keys may still be used without an answer of the root of the lease, the shortest"
    " of all processes; 0 after its end. Only with a lease.",
)
KEYRING_GENERATION: Final = Metric(
    "sealyard_keyring_generation",
    "soonest",
    ("keyring",),
    "The generation of the keyring in use, the lowest of all processes. `keyring` is its id.",
)
KEYRING_REVOCATIONS: Final = Metric(
    "sealyard_keyring_revocations",
    "soonest",
    (),
    "Revocations in the keyring in use, the fewest of all processes; it holds at most 10,000.",
)
KEYRING_STATE: Final = Metric(
    "sealyard_keyring_state",
    "gauge",
    ("state",),
    "Processes whose keyring has a problem: its file is `older` than the keyring in use, other"
    " processes have a newer one (`behind`), another was changed beside it (`forked`),"
    " another keyring is used in the same store (`mismatch`), its file"
    " is not signed as configured (`unsigned`), or the store's record of it does not"
    " verify (`unverified`).",
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
    "Revocations by the admin API, by where they are kept: in the `keyring`, only in the `store`,"
    " only in a `file` until the store takes them, or only in the `process`, which forgets them at"
    " its end. A revocation that cannot be written to the audit log is not kept in the keyring.",
)
PENDING_REVOCATIONS: Final = Metric(
    "sealyard_pending_revocations",
    "gauge",
    (),
    "Revocations that the store has not taken yet: they are retried, and other processes do not"
    " know of them. Each worker counts those that it retries.",
)
LINES_LOST: Final = Metric(
    "sealyard_log_lines_lost_total",
    "counter",
    (),
    "Log lines that could not be written, because the reader of stderr is gone or too slow,"
    " or because a processor of `--log-processor` failed.",
)
AUDIT_FAILURES: Final = Metric(
    "sealyard_audit_failures_total",
    "counter",
    (),
    "Events that could not be written to the audit log, and failed retries.",
)
AUDIT_LOSSES: Final = Metric(
    "sealyard_audit_losses_total",
    "counter",
    (),
    "How often the audit log, or its head record, was found deleted or cut by a process that had"
    " written to it: before each line, and every ten seconds.",
)
AUDIT_LINES: Final = Metric(
    "sealyard_audit_lines_total", "counter", (), "Lines written to the audit log."
)
AUDIT_BLOCKED: Final = Metric(
    "sealyard_audit_blocked",
    "gauge",
    (),
    "Processes that open nothing because the audit log cannot be written (`on_failure: block`).",
)
AUDIT_SEQUENCE: Final = Metric(
    "sealyard_audit_last_sequence",
    "latest",
    (),
    "The number of the last line of the audit log. It decreases only if the log was replaced.",
)
POISON: Final = Metric(
    "sealyard_poison_opened_total",
    "counter",
    ("listener", "rule"),
    "Attempts to open a poison token.",
)
UNACCEPTED: Final = Metric(
    "sealyard_participant_keys_unaccepted_total",
    "counter",
    ("use", "refused"),
    "Participants' keys that were not accepted (`keys.pins`), counted once per process.",
)
MEMORY: Final = Metric(
    "sealyard_resident_memory_bytes",
    "gauge",
    (),
    "Resident memory of all processes that carry traffic.",
)
BODIES: Final = Metric(
    "sealyard_message_memory_bytes",
    "gauge",
    (),
    "Memory that messages hold of the budget of bytes, in all processes that carry traffic.",
)
BODIES_WAITING: Final = Metric(
    "sealyard_message_memory_waiting", "gauge", (), "Messages that wait for memory of that budget."
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
    "1 if the last reload was accepted (or there was none), 0 if the file on disk was refused.",
)
RELOADED_AT: Final = Metric(
    "sealyard_last_reload_success_timestamp_seconds",
    "gauge",
    (),
    "When the configuration in force was loaded, in seconds since 1970.",
)
CONFIG: Final = Metric(
    "sealyard_config_info",
    "gauge",
    ("sha256",),
    "Always 1; the label is the hash of the configuration in force.",
)
BUILD: Final = Metric(
    "sealyard_build_info",
    "gauge",
    ("version", "python", "native"),
    "Always 1; the labels are the versions that run. `native` is empty without `sealyard-native`.",
)
READY: Final = Metric("sealyard_ready", "gauge", (), "1 while `/readyz` reports ready.")
HEARTBEAT_AGE: Final = Metric(
    "sealyard_heartbeat_age_seconds",
    "gauge",
    (),
    "Health listener only: how long ago every event loop that carries traffic has last shown a"
    " sign of life. Above `health.stalled_after`, `/livez` fails. The other numbers may be as old.",
)
WORKERS: Final = Metric("sealyard_workers", "gauge", ("state",), "Workers, `wanted` and `ready`.")
RESTARTS: Final = Metric("sealyard_worker_restarts_total", "counter", (), "Dead workers replaced.")
INJECTOR_REVIEWS: Final = Metric(
    "sealyard_injector_reviews_total",
    "counter",
    ("pod_namespace", "outcome"),
    "Injector only: pods reviewed, by their namespace and the outcome.",
)
INJECTOR_REFUSALS: Final = Metric(
    "sealyard_injector_refusals_total",
    "counter",
    ("reason",),
    "Injector only: requests answered with an HTTP error, so that no pod was created.",
)
PERMISSIVE_UNTIL: Final = Metric(
    "sealyard_permissive_until_timestamp_seconds",
    "soonest",
    ("listener", "rule"),
    "When the mode `permissive` of a rule ends, in seconds since 1970; absent for other rules.",
)
VERIFY_VALUES: Final = Metric(
    "sealyard_verify_values",
    "soonest",
    ("column", "state"),
    "Values that the reports in `keys.verify_reports` count, by column and by state: `sealed`,"
    " `plain` and others of `sealyard migrate`.",
)
VERIFY_AT: Final = Metric(
    "sealyard_verify_timestamp_seconds",
    "soonest",
    (),
    "When the oldest run of these reports began, in seconds since 1970; 0 where one is missing, or"
    " is no report of `verify` that this keyring signed.",
)

_DECLARED: Final = (
    *tuple(globals().values()),
    *vars(store).values(),
    *vars(upstream).values(),
    *vars(callers).values(),
)
METRICS: Final = {one.name: one for one in _DECLARED if isinstance(one, Metric)}
"""Every metric that is declared above, in `callers`, `store` or `upstream`, by its name."""
