"""The table of log events: what is not declared here is never written.

An event is a name, a level and the keys that its line may have, and below them, indented, what it
means. Keys hold names, codes, sizes and durations, never a value of a message. Under the keys with
`*`, lines of one lasting state have the same values. `<dry-run>` and `<message>` stand for the keys
of that name. The reference page of events is made from this table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, cast, get_args

from ...core.values.outcomes import Outcome
from .event_keys import Event, Level

_OUTCOMES: Final = get_args(Outcome)
_DRY_RUN_KEYS: Final = (
    "observed",
    *(f"would_be_{outcome}" for outcome in _OUTCOMES),
    "would_fail",
    *(f"response_would_be_{outcome}" for outcome in _OUTCOMES),
    "response_would_fail",
    "operations",
    "shape",
    "request_type",
    "response_type",
)

# The one canonical line of a message, whether it was forwarded or refused.
_MESSAGE_KEYS: Final = (
    "request_id",
    "trace_id",
    "listener",
    "method",
    "rule",
    "caller",
    "status",
    "error",
    "reason",
    "direction",
    "place",
    "duration_ms",
    "upstream_ms",
    "asked_ms",
    "request_bytes",
    "response_bytes",
    *_OUTCOMES,
    *(f"response_{outcome}" for outcome in _OUTCOMES),
    *_DRY_RUN_KEYS,
    "sample",
)

_GROUPS: Final = {"<dry-run>": _DRY_RUN_KEYS, "<message>": _MESSAGE_KEYS}

_TABLE: Final = """\
server.started info: version python pid
    The process has started.
process.hardened info: core_dumps dumpable umask missing
    How the process is protected from core dumps and from readers of its memory; `missing` lists
    what this machine does not offer.
server.ready info: listeners duration_ms
    Every listener accepts connections.
server.draining info: signal delay_s
    Readiness fails from now on; connections are still accepted for `delay_s`.
server.stopping info: signal grace_s
    New connections are no longer accepted; messages under way have `grace_s` to finish.
server.stopped info: duration_ms aborted
    The last connection has ended; `aborted` says whether messages were cut off.
listener.started info: listener address upstream
    A listener for traffic accepts connections.
descriptors.short warning: limit wanted clients
    The hard limit of open files is too low for the `limits` of the configuration, which want
    `wanted`. All listeners together accept `clients` instead of their `limits.clients`.
callers.keys_away error: listener host reason
    The keys of an issuer could not be fetched. Those that are known are used for 24 hours from when
    they were fetched. There is one such line, until they are there again.
memory.short warning: limit missing
    The memory of a process (`limit`) lacks `missing` bytes for the `limits` of the configuration
    (docs/reference/memory.md): a few large bodies could exceed it.
clients.refused warning: listener reason number
    Connections of clients were not served: `number` of them since the last such line, which comes
    at most every ten seconds. `reason` as in `sealyard_clients_refused_total`.
port.not_http warning: listener port annotation
    In a pod, a port was called with something else than HTTP/1.1, and the connection refused. If
    the application speaks another protocol there, the annotation lets it pass. Said once for each
    port.
worker.started info: worker worker_pid restarts
    A worker process was started.
worker.ready info: worker worker_pid duration_ms
    A worker accepts connections.
worker.silent warning: worker worker_pid
    A worker has answered nothing for a second, has used no CPU time meanwhile, and does not wait
    for a processor. The other workers get the connections that come to it.
worker.stalled error: worker worker_pid silent_s
    A worker has shown no sign of life for three times `health.stalled_after`, and is killed;
    `worker.died` and its replacement follow.
worker.died error: worker worker_pid exit_code restart_in_s
    A worker ended without being asked to. A negative `exit_code` is the number of a signal.

config.loaded info: file sha256 listeners rules cause duration_ms swap_ms
    A configuration is in force. `cause` is start, signal, file (changed, or tried again), admin or
    shares (enough were handed in); `swap_ms` is the time for the exchange itself, the rest was
    prepared beside the traffic.
config.refused error: file cause reason problems duration_ms
    A new configuration was refused; the previous one stays in force. `problems` is the number of
    `config.problem` lines that follow.
config.problem error: problem
    One reason for refusing a configuration. The text of the file is not repeated, since it may be a
    secret in the wrong place; `sealyard validate` shows it.
config.warning warning: file line path warning
    The configuration is valid, but probably not what was meant.

admin.started info: listener address
    The admin or health listener accepts connections.
admin.called info: listener request_id method route status error caller peer
    A call of the admin API, logged before the response is sent. `route` is a route of the API,
    never the path of the request; `caller` is the name of the credentials, if valid.
participant.changed warning: participant kid action
    The admin API changed the keys of a participant: `action` is add, rotate, revoke, expire or
    accept. `participant` is the name of the stored record, a keyed hash.

keyring.opened info: file root keyring generation primary keks duration_ms
    The keyring is open. `keyring` is the beginning of its id.
root.opened info: kind name
    A root opened the keyring, at the start, at a reload or to renew the lease. `name` is its key;
    empty for a passphrase or a file.
root.fallback warning: kind name reason
    This root did not open the keyring, and one that the configuration lists after it did.
root.unavailable warning: reason lease_left_s retry_in_s
    No root opens the keyring. At the start, the process waits and is not ready. While it runs, it
    keeps its keys, with a lease until the end of that.
root.lease_ended error: kind name reason
    The root of the lease did not answer, or refused, until the lease ended: values are neither
    sealed nor opened until it opens the keyring again.
root.share_taken info: held needed uid
    An operator handed in a share of the keyring's secret. `uid` is the user of the process that
    did.
root.share_refused warning: reason uid
    A share was handed in that is mistyped, of another keyring or split, forged or known.
keyring.older warning: keyring generation file_generation
    The file holds an older generation of the keyring than this process has used. The process keeps
    its own generation, and takes revocations and disabled KEKs from the file.
keyring.behind warning: keyring generation fleet_generation lacks_sealing_kek
    Other processes have a later generation of the keyring, as they do while a change is rolled out.
    KEKs that they have disabled are disabled here too. With `lacks_sealing_kek`, this process
    cannot open what they seal.
keyring.forked error: keyring generation missing
    Two states of the keyring have other KEKs and were changed independently: they have the same
    generation, or the file lacks KEKs that nobody destroyed, as an older backup does. This process
    keeps the latter, `missing`, until it ends.
keyring.unsigned error: keyring generation
    A changed keyring was refused: no key of `keys.keyring.signed_by` signed the file, it does not
    follow from the keyring in use, or it is another keyring. What it revokes is applied, and this
    process continues with its keys.
keyring.mismatch error: keyring others
    Other keyrings are used with the same store: what one process seals, the other cannot open. This
    information cannot be authenticated.
keyring.unverified warning: keyring generation
    The note in the store about the fleet's keyring is not authentic, and is ignored.
keyring.older_accepted warning: keyring generation
    This generation was accepted on the operator's order (`--accept-older`), although a later one is
    known.
key.session_created info: sid kek mode ttl_s
    A conversation got its first session key, as far as the process that made it knows.
key.session_rotated info: sid previous kek mode cause ttl_s
    A new session key seals from now on; the previous one still opens. `cause` is `age`, `use` (the
    limit of sealed values is reached), `revoked` or `admin`.
key.revoked warning: scope not_before durable store kept unknown source
    Session keys made before `not_before` neither seal nor open any more; `scope` is a hash. `store`
    says whether the store holds the revocation, read back and verified, `kept` whether a file holds
    it until the store does; `unknown` that the scope was not known.
key.revocation_pending warning: scope not_before kept
    The store did not take a revocation, so other processes do not know of it yet. It is retried
    every second; `kept` says whether a file holds it across a restart.
key.revocation_stored info: scope not_before waited_s
    The store has taken a revocation that was pending.
key.revocations_failed warning: reason
    Pending revocations could not be read from their file, or could not be retried. The next try is
    a second later; the same reason is reported once in a row.
key.erased warning: scope keys store source
    The ephemeral session keys of a conversation were destroyed on request.
package.issued info: sid issue cause recipients keys ttl_s
    A key package was made and stored. `cause` is first, spent, revoked, rotated, recipient-added
    (the same session key, the next `issue`) or key-gone (a new key).
participant.pinned info: participant kid use
    A participant's key was used for the first time and is now pinned: another key in its place is
    reported. `participant` is the name of the stored record, a keyed hash.
participant.unaccepted error: participant kid use refused
    A participant has a key that was not accepted (`keys.pins`); with `refused` it is not used.
    Reported once by each process.
identity.open_failed warning: kid
    A participant's private key cannot be opened with the credentials in `keys.identities`; the next
    attempt is in a minute.
poison.opened error: sid listener rule direction request_id shut
    A request tried to open a poison token, which no legitimate client does. `sid` is the one that
    `sealyard audit plant` printed; `shut` says whether the rule is now shut.
audit.failed error: file* reason* blocks lasts_s number
    The audit log cannot be written. Where it `blocks`, nothing is done that must be recorded, and
    no message is opened, until it can be written again. As long as that lasts, a line comes every
    ten minutes.
audit.gone error: file reason
    What this process had written to the audit log is gone: `deleted` (the log is under no name that
    begins as its own), `cut`, or `head-deleted` (the head record alone).
audit.off warning: file reason
    There is no audit log: the configuration names none, and the default file beside the keyring
    cannot be written.
audit.anchored info: file sequence mac
    The last line of the audit log: written at the start, every ten minutes and at the end.
    `sealyard audit verify --anchor SEQUENCE:MAC` checks that the log still has that line.
store.failed warning: store* address reason* errno* exception lasts_s number
    An operation of the store failed; durable sessions continue without it. `errno` is the name of
    the error that the system or SQLite gave. As long as that lasts, a line comes every ten minutes,
    with how long it has lasted and the `number` of failures since the line before.
store.warning warning: store check warning
    The setup of the store is risky, or the store did not answer at the start.
store.clock_skew warning: store ahead_s refused
    The clock of the store is more than 30 s ahead of that of this process, or behind it where
    `ahead_s` is negative. `refused`: it is more than 90 s, so that sessions are not shared and
    nothing can be revoked here.

message.handled info: <message>
    A message was forwarded. Each message has one line, unless its rule asks for a share of them:
    `sample` is then that share.
message.refused warning: <message>
    Sealyard refused a message: `error` is the code that the client got, `reason` the cause. `place`
    is where a name stands that the rule does not list: the part of its path that the configuration
    names, and a keyed hash of the rest (`$.payment.*#3f9a1c`). It replaces `message.handled`.
message.failed error: <message>
    The backend gave no usable response: it could not be reached, was too slow or sent invalid HTTP.
    `error` is the code that the client got, `reason` the cause. It replaces `message.handled`.
message.observed debug: request_id listener method rule <dry-run>
    What a rule in mode `observe` would have done to one message of a WebSocket; with `shape`, a
    WebSocket that no rule covers.
ladder.unusable warning: file reason
    `admin.ladder_file` cannot be read, and the ladder counts from now on; or it cannot be written,
    and what was counted will be lost at the end of the process.
message.would_refuse debug: request_id listener rule direction reason client_name
    A rule let something pass that it would refuse one step up: in mode `permissive` if it is in
    mode `observe`, in mode `enforce` if it is in mode `permissive`. Once for each message or
    WebSocket, with what would be refused first. Without `rule`, some rule in mode `observe` would
    refuse it for its path or method. `client_name` is one of the listener's `client_names`, `other`
    if it is none of them.
member.unruled debug: listener rule method shape direction member kind
    A member looks sensitive and no rule seals it, on a listener with `find_sensitive`. `member` is
    its path; names that are neither in the configuration nor usual words are `*`. `kind` is what
    its name or its shape says that it is.
response.unread warning: request_id listener rule
    A response with sealed values passed unread: its type fits no block of its rule, and its body
    has none of the formats that the rule reads. Reported at most once an hour for each rule; the
    outcome `unread` counts all of them.

injector.started info: version address
    The injector's webhook accepts connections.
injector.reviewed info: namespace outcome problems
    A pod was reviewed: `outcome` is injected, unchanged, disabled (by its label), debugged (it got
    an ephemeral container) or denied. `problems` is the number of reasons to deny it. Their texts
    are in the response to the API server.
injector.exception_unknown warning: namespace
    The exceptions of a namespace hold a word that is no permission, or one that only the chart's
    `policy.allow` gives. It allows nothing.
injector.refused warning: reason status
    A call of the webhook was not an AdmissionReview.
injector.event_failed warning: reason
    An Event on the owner of a pod could not be written, and is lost. Said once for each reason.
injector.certificate_changed warning: renewed reason
    The files of the webhook's certificate changed. If they cannot be used, the previous certificate
    stays in force.
injector.certificate_made info: waits
    This replica made a certificate for the webhook and stored it in its Secret. With `waits` it is
    used ten minutes later, when every API server trusts it.
injector.authority_published info: webhooks
    The authority of the webhook's certificate was written into that many entries of the webhook
    configuration.
injector.certificate_failed error: reason
    The webhook's certificate could not be made, renewed or published; it is tried again. Said once
    for each reason.

library.message warning: logger where exception raised_at
    A library logged a message, at the level of this line. Its text is withheld, since libraries put
    values into texts; `where` is the place in the library's code.
library.warning warning: category where
    Python issued a warning; its text is withheld.
exception.unhandled error: source exception raised_at context
    An exception was not caught. `source` is main, thread, unraisable or asyncio.
tracing.started info:
    Spans of messages are sent to a collector.
tracing.unavailable warning: reason
    The environment asks for traces (OTEL_EXPORTER_OTLP_ENDPOINT), but the packages of
    `sealyard[otel]` are missing or a variable is invalid. Messages are forwarded without traces.
log.undeclared warning: where
    The code reported an event that is not in this table: a defect of Sealyard, in its code at
    `where`.
log.processor_failed error: processor exception raised_at
    A processor given by `--log-processor` failed: its lines are lost and counted in
    `sealyard_log_lines_lost_total`. Reported once for each processor in each process.
"""


def _events() -> Iterator[Event]:
    for entry in re.split(r"\n+(?! )", _TABLE.strip()):
        head, *meaning = entry.split("\n    ")
        name, level, *marked = head.replace(":", "").split()
        keys = [key for one in marked for key in _GROUPS.get(one, (one.removesuffix("*"),))]
        lasts = tuple(one.removesuffix("*") for one in marked if one.endswith("*"))
        yield Event(name, cast("Level", level), tuple(keys), " ".join(meaning), lasts)


EVENTS: Final = {event.name: event for event in _events()}
