"""The events of keys: keyring, session keys, packages, participants, audit log and store."""

from __future__ import annotations

from typing import Final

from .event_keys import Event

KEY_EVENTS: Final = (
    Event(
        "keyring.opened",
        "info",
        ("file", "root", "keyring", "generation", "primary", "keks", "duration_ms"),
        "The keyring is open. `keyring` is the beginning of its id.",
    ),
    Event(
        "root.opened",
        "info",
        ("kind", "name"),
        "A root opened the keyring, at the start, at a reload or to renew the lease. `name` is its"
        " key; empty for a passphrase or a file.",
    ),
    Event(
        "root.fallback",
        "warning",
        ("kind", "name", "reason"),
        "This root did not open the keyring, and one that the configuration lists after it did.",
    ),
    Event(
        "root.unavailable",
        "warning",
        ("reason", "lease_left_s", "retry_in_s"),
        "No root opens the keyring. At the start, the process waits and is not ready. While it"
        " runs, it keeps its keys, with a lease until the end of that.",
    ),
    Event(
        "root.lease_ended",
        "error",
        ("kind", "name", "reason"),
        "The root of the lease did not answer, or refused, until the lease ended: values are"
        " neither sealed nor opened until it opens the keyring again.",
    ),
    Event(
        "root.share_taken",
        "info",
        ("held", "needed", "uid"),
        "An operator handed in a share of the keyring's secret. `uid` is the user of the process"
        " that did.",
    ),
    Event(
        "root.share_refused",
        "warning",
        ("reason", "uid"),
        "A share was handed in that is mistyped, of another keyring or split, forged or known.",
    ),
    Event(
        "keyring.older",
        "warning",
        ("keyring", "generation", "file_generation"),
        "The file holds an older generation of the keyring than this process has used. The process"
        " keeps its own generation, and takes revocations and disabled KEKs from the file.",
    ),
    Event(
        "keyring.behind",
        "warning",
        ("keyring", "generation", "fleet_generation", "lacks_sealing_kek"),
        "Other processes have a later generation of the keyring, as they do while a change is"
        " rolled out. KEKs that they have disabled are disabled here too. With `lacks_sealing_kek`,"
        " this process cannot open what they seal.",
    ),
    Event(
        "keyring.forked",
        "error",
        ("keyring", "generation"),
        "Two keyrings have the same id and generation but different KEKs: two copies were changed"
        " independently.",
    ),
    Event(
        "keyring.mismatch",
        "error",
        ("keyring", "others"),
        "Other keyrings are used with the same store: what one process seals, the other cannot"
        " open. This information cannot be authenticated.",
    ),
    Event(
        "keyring.unverified",
        "warning",
        ("keyring", "generation"),
        "The note in the store about the fleet's keyring is not authentic, and is ignored.",
    ),
    Event(
        "keyring.older_accepted",
        "warning",
        ("keyring", "generation"),
        "This generation was accepted on the operator's order (`--accept-older`), although a later"
        " one is known.",
    ),
    Event(
        "key.session_created",
        "info",
        ("sid", "kek", "mode", "ttl_s"),
        "A conversation got its first session key, as far as the process that made it knows.",
    ),
    Event(
        "key.session_rotated",
        "info",
        ("sid", "previous", "kek", "mode", "cause", "ttl_s"),
        "A new session key seals from now on; the previous one still opens. `cause` is `age`, `use`"
        " (the limit of sealed values is reached), `revoked` or `admin`.",
    ),
    Event(
        "key.revoked",
        "warning",
        ("scope", "not_before", "durable", "store", "kept", "unknown", "source"),
        "Session keys made before `not_before` neither seal nor open any more; `scope` is a hash."
        " `store` says whether the store holds the revocation, read back and verified, `kept`"
        " whether a file holds it until the store does; `unknown` that the scope was not known.",
    ),
    Event(
        "key.revocation_pending",
        "warning",
        ("scope", "not_before", "kept"),
        "The store did not take a revocation, so other processes do not know of it yet. It is"
        " retried every second; `kept` says whether a file holds it across a restart.",
    ),
    Event(
        "key.revocation_stored",
        "info",
        ("scope", "not_before", "waited_s"),
        "The store has taken a revocation that was pending.",
    ),
    Event(
        "key.revocations_failed",
        "warning",
        ("reason",),
        "Pending revocations could not be read from their file, or could not be retried. The next"
        " try is a second later; the same reason is reported once in a row.",
    ),
    Event(
        "key.erased",
        "warning",
        ("scope", "keys", "store", "source"),
        "The ephemeral session keys of a conversation were destroyed on request.",
    ),
    Event(
        "package.issued",
        "info",
        ("sid", "issue", "cause", "recipients", "keys", "ttl_s"),
        "A key package was made and stored. `cause` is first, spent, revoked, rotated,"
        " recipient-added (the same session key, the next `issue`) or key-gone (a new key).",
    ),
    Event(
        "participant.pinned",
        "info",
        ("participant", "kid", "use"),
        "A participant's key was used for the first time and is now pinned: another key in its"
        " place is reported. `participant` is the name of the stored record, a keyed hash.",
    ),
    Event(
        "participant.unaccepted",
        "error",
        ("participant", "kid", "use", "refused"),
        "A participant has a key that was not accepted (`keys.pins`); with `refused` it is not"
        " used. Reported once by each process.",
    ),
    Event(
        "identity.open_failed",
        "warning",
        ("kid",),
        "A participant's private key cannot be opened with the credentials in `keys.identities`;"
        " the next attempt is in a minute.",
    ),
    Event(
        "poison.opened",
        "error",
        ("sid", "listener", "rule", "direction", "request_id", "shut"),
        "A request tried to open a poison token, which no legitimate client does. `sid` is the one"
        " that `sealyard audit plant` printed; `shut` says whether the rule is now shut.",
    ),
    Event(
        "audit.failed",
        "error",
        ("file", "reason", "blocks"),
        "The audit log cannot be written. Where it `blocks`, nothing is done that must be recorded,"
        " and no message is opened, until it can be written again.",
    ),
    Event(
        "audit.off",
        "warning",
        ("file", "reason"),
        "There is no audit log: the configuration names none, and the default file beside the"
        " keyring cannot be written.",
    ),
    Event(
        "audit.anchored",
        "info",
        ("file", "sequence", "mac"),
        "The last line of the audit log: written at the start, every ten minutes and at the end."
        " `sealyard audit verify --anchor SEQUENCE:MAC` checks that the log still has that line.",
    ),
    Event(
        "store.failed",
        "warning",
        ("store", "operation", "reason", "exception", "duration_ms"),
        "An operation of the store failed; durable sessions continue without it.",
    ),
    Event(
        "store.warning",
        "warning",
        ("store", "check", "warning"),
        "The setup of the store is risky, or the store did not answer at the start.",
    ),
    Event(
        "store.clock_skew",
        "warning",
        ("store", "ahead_s", "refused"),
        "The clock of the store is more than 30 s ahead of that of this process, or behind it where"
        " `ahead_s` is negative. `refused`: it is more than 90 s, so that sessions are not shared"
        " and nothing can be revoked here.",
    ),
)
