"""The table of metrics: only what is declared here is counted.

Labels are bounded: listeners, rules, codes, reasons and methods come from the configuration and the
code, never from a message. The reference page of metrics is generated from this table.
"""

from __future__ import annotations

from typing import Final

from .metric import FINE_SECONDS, Metric, counter, gauge, histogram, latest, soonest

MESSAGES: Final = counter(
    "sealyard_messages_total",
    "Messages, by outcome: `forwarded`, `refused` by Sealyard, `failed` because the backend gave no"
    " usable response, or `aborted` by the client. `rule` is empty if no rule matched. Every rule"
    " in force has a series from the start, so a rule that matches nothing is visible.",
    ("listener", "rule", "outcome"),
)
RULE_MATCHED: Final = latest(
    "sealyard_rule_last_matched_timestamp_seconds",
    "When the rule last matched a message, in seconds since 1970; 0 if it has not since the start.",
    ("listener", "rule"),
)
VALUES: Final = counter(
    "sealyard_values_total",
    "Values, by outcome: `sealed`, `opened`, `already_sealed`, `plain` (passed unchanged), `kept`"
    " (did not open, passed as a token), `in_markup` (passed as a token, because markup cannot"
    " hold the value in that place), `cut` (truncated tokens), and of what a caller does not get"
    " as it is, `masked`, `token` (it stays sealed), `absent` (left out). Also messages or records"
    " of which nothing was sealed, because all that their block seals is optional: `unsealed`; and"
    " responses that contain something sealed and fit no block: `unread`; and records that passed"
    " because their block names them: `sentinel`. Also values that were searched for: `searched`;"
    " and elements of answers to searches: `found`, or `filtered` because they do not fit.",
    ("listener", "rule", "direction", "outcome"),
)
TRIALS: Final = counter(
    "sealyard_trials_total",
    "Messages of rules in mode `observe`, by what the rule would have done: `changed`, `unchanged`"
    " (it found nothing to change), or the reason for which it would have refused the message.",
    ("listener", "rule", "direction", "outcome"),
)
WOULD_REFUSE: Final = counter(
    "sealyard_step_up_refusals_total",
    "Messages that their rule would refuse one step up for what it lets pass now: in mode"
    " `permissive` if it is in mode `observe`, in mode `enforce` if it is in mode `permissive`."
    " Each message, also a WebSocket, counts once, with what would be refused first."
    " `rule` is empty where some rule in mode `observe` would refuse the message for its path or"
    " method. `client_name` is one of the listener's `client_names`, `other` for clients that are"
    " none of them, and empty without any.",
    ("listener", "rule", "direction", "reason", "client_name"),
)
SENSITIVE: Final = counter(
    "sealyard_sensitive_members_total",
    "Messages with a member that looks sensitive and that no rule seals, among those that"
    " listeners with `find_sensitive` look at. `shape` is that of the path where no rule matched.",
    ("listener", "rule", "method", "shape", "direction", "member", "kind"),
)
TRIAL_VALUES: Final = counter(
    "sealyard_trial_values_total",
    "Values that rules in mode `observe` would have changed, by the outcome they would have had.",
    ("listener", "rule", "direction", "outcome"),
)
UNCOVERED: Final = counter(
    "sealyard_uncovered_messages_total",
    "Messages with a body, and WebSockets, that no rule covers, on listeners with a rule in mode"
    " `observe`, by the shape of their path and the types of their bodies.",
    ("listener", "method", "shape", "request_type", "response_type"),
)
UNCOVERED_WRITES: Final = counter(
    "sealyard_uncovered_writes_total",
    "Requests by POST, PUT or PATCH, and WebSockets, that no rule matched: they were sent to the"
    " backend as they came, in plaintext (`unmatched: pass`), however they ended. From the start on"
    " of every such listener.",
    ("listener",),
)
REFUSALS: Final = counter(
    "sealyard_refusals_total",
    "Messages that Sealyard refused, by the error code in the response. Failures of the backend are"
    " in `sealyard_upstream_errors_total`.",
    ("listener", "rule", "direction", "code"),
)
REFUSAL_REASONS: Final = counter(
    "sealyard_refusal_reasons_total",
    "The same refusals, by the reason in the log. For `open-failed` it says why a value did not"
    " open, which responses do not say.",
    ("listener", "direction", "code", "reason"),
)
UPSTREAM_ERRORS: Final = counter(
    "sealyard_upstream_errors_total",
    "Messages that failed because the backend gave no usable response, by the reason in the log:"
    " `message.failed`.",
    ("listener", "rule", "code", "reason"),
)
REQUEST_BYTES: Final = counter(
    "sealyard_request_bytes_total", "Bytes of request bodies received.", ("listener",)
)
RESPONSE_BYTES: Final = counter(
    "sealyard_response_bytes_total", "Bytes of response bodies returned.", ("listener",)
)
REQUEST_DURATION: Final = histogram(
    "sealyard_request_duration_seconds",
    "Time from the head of a request to the end of its response; `_count` is the number of requests"
    " by all of these labels. `status_class` is `2xx` and so on; a client that left has `4xx` and"
    " the outcome `aborted`. `method` is one of the methods of HTTP and WebDAV, `_OTHER` for any"
    " other, and empty for what is not valid HTTP. A WebSocket is one request of `1xx`, whose"
    " duration is that of its connection.",
    ("listener", "rule", "method", "status_class", "outcome"),
)
UPSTREAM_DURATION: Final = histogram(
    "sealyard_upstream_duration_seconds",
    "Time from sending a request upstream to the head of the response.",
    ("listener", "rule"),
)
CRYPTO_DURATION: Final = histogram(
    "sealyard_crypto_duration_seconds",
    "Time to seal and open the values of a body whose keys are there, of one message in"
    " 16; where the message is changed without a plan, with the search for the values. Not of"
    " streams and WebSockets.",
    ("listener", "rule", "direction"),
    FINE_SECONDS,
)
CLIENTS_REFUSED: Final = counter(
    "sealyard_clients_refused_total",
    "Connections of clients that were not served. By `reason`, with an answer (503): `clients`"
    " and `clients-per-address` (the limits of these names), `descriptors` (hardly any file"
    " descriptor is left), `workers` (no worker accepts connections; without an answer where the"
    " listener has TLS). Without one: `accept` (accepting failed, since no descriptor was left;"
    " the connections wait in the kernel), `proxy-peer` (`proxy_protocol`, and not one of the"
    " `trusted_proxies`), `proxy-header` (no valid PROXY header in time), `tls` (no TLS"
    " handshake in time).",
    ("listener", "reason"),
)
CLIENT_CONNECTIONS: Final = gauge(
    "sealyard_client_connections", "Connected clients.", ("listener",)
)
UPSTREAM_CONNECTIONS: Final = gauge(
    "sealyard_upstream_connections",
    "Connections to the backend, by state: `busy` or `idle`.",
    ("listener", "state"),
)
SESSIONS: Final = gauge(
    "sealyard_sessions_cached", "Cached session keys, for `sealing` and `opening`.", ("use",)
)
SESSION_CREATED: Final = soonest(
    "sealyard_session_created_timestamp_seconds",
    "When the oldest cached session key that seals was made, in seconds since 1970; absent if"
    " none is cached.",
)
SESSION_DUE: Final = soonest(
    "sealyard_session_due_timestamp_seconds",
    "When the first of the session keys that seal reaches its soft end and is replaced by a new"
    " one, in seconds since 1970.",
)
SESSION_EXPIRY: Final = soonest(
    "sealyard_session_expiry_timestamp_seconds",
    "When the first of them reaches its hard end, after which what it sealed cannot be opened, in"
    " seconds since 1970; only ephemeral sessions have one.",
)
LOOKUPS: Final = counter(
    "sealyard_session_lookups_total",
    "Messages that needed session keys: `hit` (all were cached) or `miss` (the store was queried).",
    ("result",),
)
KEK_OPENED: Final = counter(
    "sealyard_kek_opened_total",
    "Values opened under each KEK, and keys of ephemeral sessions that it unwrapped.",
    ("kek",),
)
KEK_OPENED_AT: Final = latest(
    "sealyard_kek_last_opened_timestamp_seconds",
    "When something was last opened under each KEK, in seconds since 1970.",
    ("kek",),
)
# The soonest, so that a KEK that was removed does not live on in what a dead worker counted.
KEK_CREATED: Final = soonest(
    "sealyard_kek_created_timestamp_seconds",
    "When each KEK was made, in seconds since 1970.",
    ("kek",),
)
ROOT_OPENED_AT: Final = soonest(
    "sealyard_root_opened_timestamp_seconds",
    "When a root last opened the keyring, in seconds since 1970; the earliest of all processes."
    " Without a lease, a root is asked at the start and at a reload only.",
    ("kind",),
)
ROOT_REFUSED: Final = gauge(
    "sealyard_root_refused",
    "Processes in which this kind of root did not open the keyring when it was last asked.",
    ("kind",),
)
ROOT_LEASE_LEFT: Final = soonest(
    "sealyard_root_lease_left_seconds",
    "How long the keys may still be used without an answer of the root of the lease, the shortest"
    " of all processes; 0 after its end. Only with a lease.",
)
KEYRING_GENERATION: Final = soonest(
    "sealyard_keyring_generation",
    "The generation of the keyring in use, the lowest of all processes. `keyring` is its id.",
    ("keyring",),
)
KEYRING_REVOCATIONS: Final = soonest(
    "sealyard_keyring_revocations",
    "Revocations in the keyring in use, the fewest of all processes; it holds at most 10,000.",
)
KEYRING_STATE: Final = gauge(
    "sealyard_keyring_state",
    "Processes whose keyring has a problem: its file is `older` than the keyring in use, other"
    " processes have a newer one (`behind`), another was changed beside it (`forked`),"
    " another keyring is used in the same store (`mismatch`), its file"
    " is not signed as configured (`unsigned`), or the store's record of it does not"
    " verify (`unverified`).",
    ("state",),
)
KEK_STATE: Final = gauge(
    "sealyard_kek_state",
    "Processes for which a KEK is `primary`, `decrypt` or `disabled`.",
    ("kek", "state"),
)
KEK_SESSIONS: Final = counter(
    "sealyard_kek_sessions_total", "Sessions begun under each KEK.", ("kek",)
)
REVOCATIONS: Final = counter(
    "sealyard_revocations_total",
    "Revocations by the admin API, by where they are kept: in the `keyring`, only in the `store`,"
    " only in a `file` until the store takes them, or only in the `process`, which forgets them at"
    " its end. A revocation that cannot be written to the audit log is not kept in the keyring.",
    ("kept",),
)
PENDING_REVOCATIONS: Final = gauge(
    "sealyard_pending_revocations",
    "Revocations that the store has not taken yet: they are retried, and other processes do not"
    " know of them. Each worker counts those that it retries.",
)
LINES_LOST: Final = counter(
    "sealyard_log_lines_lost_total",
    "Log lines that could not be written, because the reader of stderr is gone or too slow,"
    " or because a processor of `--log-processor` failed.",
)
AUDIT_FAILURES: Final = counter(
    "sealyard_audit_failures_total",
    "Events that could not be written to the audit log, and failed retries.",
)
AUDIT_LOSSES: Final = counter(
    "sealyard_audit_losses_total",
    "How often the audit log, or its head record, was found deleted or cut by a process that had"
    " written to it: before each line, and every ten seconds.",
)
AUDIT_LINES: Final = counter("sealyard_audit_lines_total", "Lines written to the audit log.")
AUDIT_BLOCKED: Final = gauge(
    "sealyard_audit_blocked",
    "Processes that open nothing because the audit log cannot be written (`on_failure: block`).",
)
AUDIT_SEQUENCE: Final = latest(
    "sealyard_audit_last_sequence",
    "The number of the last line of the audit log. It decreases only if the log was replaced.",
)
POISON: Final = counter(
    "sealyard_poison_opened_total", "Attempts to open a poison token.", ("listener", "rule")
)
UNACCEPTED: Final = counter(
    "sealyard_participant_keys_unaccepted_total",
    "Participants' keys that were not accepted (`keys.pins`), counted once per process.",
    ("use", "refused"),
)
MEMORY: Final = gauge(
    "sealyard_resident_memory_bytes", "Resident memory of all processes that carry traffic."
)
BODIES: Final = gauge(
    "sealyard_message_memory_bytes",
    "Memory that messages hold of the budget of bytes, in all processes that carry traffic.",
)
BODIES_WAITING: Final = gauge(
    "sealyard_message_memory_waiting", "Messages that wait for memory of that budget."
)
CPU: Final = counter("sealyard_cpu_seconds_total", "CPU time of all processes that carry traffic.")
RELOADS: Final = counter("sealyard_reloads_total", "Reloads: `accepted` or `refused`.", ("result",))
RELOADED_OK: Final = gauge(
    "sealyard_last_reload_successful",
    "1 if the last reload was accepted (or there was none), 0 if the file on disk was refused.",
)
RELOADED_AT: Final = gauge(
    "sealyard_last_reload_success_timestamp_seconds",
    "When the configuration in force was loaded, in seconds since 1970.",
)
CONFIG: Final = gauge(
    "sealyard_config_info",
    "Always 1; the label is the hash of the configuration in force.",
    ("sha256",),
)
BUILD: Final = gauge(
    "sealyard_build_info",
    "Always 1; the labels are the versions that run. `native` is empty without `sealyard-native`.",
    ("version", "python", "native"),
)
READY: Final = gauge("sealyard_ready", "1 while `/readyz` reports ready.")
HEARTBEAT_AGE: Final = gauge(
    "sealyard_heartbeat_age_seconds",
    "Health listener only: how long ago every event loop that carries traffic has last shown a"
    " sign of life. Above `health.stalled_after`, `/livez` fails. The other numbers may be as old.",
)
WORKERS: Final = gauge("sealyard_workers", "Workers, `wanted` and `ready`.", ("state",))
RESTARTS: Final = counter("sealyard_worker_restarts_total", "Dead workers replaced.")
INJECTOR_REVIEWS: Final = counter(
    "sealyard_injector_reviews_total",
    "Injector only: pods reviewed, by their namespace (`other` beyond 10,000) and the outcome.",
    ("pod_namespace", "outcome"),
)
INJECTOR_REFUSALS: Final = counter(
    "sealyard_injector_refusals_total",
    "Injector only: requests answered with an HTTP error, so that no pod was created.",
    ("reason",),
)
PERMISSIVE_UNTIL: Final = soonest(
    "sealyard_permissive_until_timestamp_seconds",
    "When the mode `permissive` of a rule ends, in seconds since 1970; absent for other rules.",
    ("listener", "rule"),
)
VERIFY_VALUES: Final = soonest(
    "sealyard_verify_values",
    "Values that the reports in `keys.verify_reports` count, by column and by state: `sealed`,"
    " `plain` and others of `sealyard migrate`.",
    ("column", "state"),
)
VERIFY_AT: Final = soonest(
    "sealyard_verify_timestamp_seconds",
    "When the oldest run of these reports began, in seconds since 1970; 0 where one is missing, or"
    " is no report of `verify` that this keyring signed.",
)
STORE_ERRORS: Final = counter(
    "sealyard_store_errors_total", "Failed or invalid responses of the store.", ("store", "reason")
)
STORE_OPERATIONS: Final = counter(
    "sealyard_store_operations_total",
    "Operations of the store, by result: `answered`, `failed`, or `rejected` by the circuit"
    " breaker.",
    ("store", "result"),
)
STORE_DURATION: Final = histogram(
    "sealyard_store_duration_seconds",
    "Time from an operation of the store to its result, a failure or the end of its time, by"
    " operation: `find`, `get_or_create`, `replace`, `revoke`, `note` or `keep`. Without the wait"
    " for a free place, and without operations that the circuit breaker rejected.",
    ("store", "operation"),
    FINE_SECONDS,
)
STORE_BREAKER: Final = gauge(
    "sealyard_store_breaker",
    "Processes whose circuit breaker is `closed` (normal operation), `open` (operations are"
    " rejected) or `half-open` (one operation is tried).",
    ("store", "state"),
)
STORE_OPENED: Final = counter(
    "sealyard_store_breaker_opened_total", "Times a circuit breaker opened.", ("store",)
)
STORE_SUBSCRIBED: Final = gauge(
    "sealyard_store_subscribed",
    "Processes that are subscribed to the store's changes, so that rotations and revocations by"
    " other processes reach them at once. They reach the others within `revocation_max_age`.",
    ("store",),
)
STORE_CLOCK_SKEW: Final = soonest(
    "sealyard_store_clock_skew_seconds",
    "By how many seconds the clock of the store is ahead of that of this process; negative where it"
    " is behind. Above 90 s either way, sessions are not shared and nothing can be revoked.",
    ("store",),
)
STORE_ROOM: Final = gauge(
    "sealyard_store_room",
    "Capacity for session keys and key packages (keys in memory, pages of 4 KiB in SQLite), `taken`"
    " and `free`. If nine tenths are taken, conversations without a key do not get one"
    " (`keys-full`).",
    ("store", "state"),
)
UPSTREAM_LIMIT: Final = gauge(
    "sealyard_upstream_limit",
    "How many requests may be under way at the backend, as found by how long it takes to answer"
    " (at most `limits.connections`).",
    ("listener",),
)
UPSTREAM_REQUESTS: Final = gauge(
    "sealyard_upstream_requests",
    "Requests, by state: `under_way` at the backend, or `waiting` for a turn.",
    ("listener", "state"),
)
UPSTREAM_LONG_LIVED: Final = gauge(
    "sealyard_upstream_long_lived",
    "What lasts at the backend and does not count as requests under way, by kind: `websocket`,"
    " `event-stream` or `long-transfer`.",
    ("listener", "kind"),
)
UPSTREAM_WAITS: Final = counter(
    "sealyard_upstream_waits_total",
    "Requests that had to wait for a turn at the backend, whether they got one or were refused.",
    ("listener",),
)
UPSTREAM_WAITED: Final = counter(
    "sealyard_upstream_waited_seconds_total", "How long they waited, together.", ("listener",)
)
UPSTREAM_BREAKER: Final = gauge(
    "sealyard_upstream_breaker",
    "Processes whose circuit breaker towards the backend is `closed` (normal operation), `open`"
    " (requests are refused) or `half-open` (one request is tried).",
    ("listener", "state"),
)
UPSTREAM_BREAKER_OPENED: Final = counter(
    "sealyard_upstream_breaker_opened_total",
    "Times that a circuit breaker towards the backend opened.",
    ("listener",),
)
LOOP_LAG: Final = gauge(
    "sealyard_loop_lag_seconds",
    "The longest turn of the event loop since the last scrape, summed over the workers: how long"
    " what arrives may wait before it is read.",
)
VERIFICATIONS: Final = counter(
    "sealyard_callers_total",
    "Requests with credentials, by the name of the caller and the outcome: `verified` (now),"
    " `known` (before), `refused` (401), `throttled` (429) or `keys-away` (503). The name is empty"
    " where there is none.",
    ("listener", "caller", "outcome"),
)
CALLER_OPENED: Final = counter(
    "sealyard_caller_opens_total",
    "Values that callers with `opens_per_minute` have `opened`, and requests and messages that"
    " were refused since they had opened as many as they may (`limited`).",
    ("listener", "caller", "outcome"),
)
CALLER_KEYS_AGE: Final = gauge(
    "sealyard_caller_keys_age_seconds",
    "How long ago the keys of an issuer were fetched. At 24 hours they are used no more.",
    ("listener", "host"),
)

METRICS: Final = {one.name: one for one in tuple(globals().values()) if isinstance(one, Metric)}
"""Every metric that is declared above, by its name."""
