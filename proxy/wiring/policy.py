"""Numbers of the running process that nobody can set, what makes it ready, and what reloads it.

Ready: `/readyz` answers 503 while a check fails: `started` (the listeners are bound), `accepting`
(no drain), `heartbeat` (`health.stalled_after`), `root` (one has opened the keyring, and its lease
has not ended), `keyring` (it has the KEK that other processes seal under), and `audit` with
`on_failure: block`; with workers, while one of them is not ready. `store`, `lease`,
`revocations`, `configuration`, and `audit` with `warn`, only tell of a degraded state: what works
without a store would stop too if they failed.

Reload: SIGHUP, the admin API's `reload` and a change of a watched file all do the same. The files
are read, and what they say is prepared beside what runs; then it is used at once by new messages,
while those in progress end as they began. What is refused changes nothing, but for what the
keyring's file takes away: revocations and disabled KEKs. A setting marked "restart" refuses the
reload that changes it.
"""

from typing import Final

# --- health and status ------------------------------------------------------------
LOOK_SECONDS: Final = 0.04  # a probe waits for the loop of the traffic, then takes the last look
WORKERS_SECONDS: Final = 0.03  # of that, for the facts of workers
JOIN_SECONDS: Final = 5.0  # for the health thread at the end
BEAT_SECONDS: Final = 0.5  # between heartbeats; far below `health.stalled_after`
FACTS_SECONDS: Final = 2.0  # an operator's call waits for the facts of a worker
FRESH_SECONDS: Final = 0.4  # for as long, one look serves all viewers
VIEWED_MESSAGES: Final = 400  # kept for them
LOWEST_ERROR: Final = 400  # status of an admin call that is audited as refused
READ_LINES: Final = (1.0, 100)  # audited reads a second, and at once; those beyond are counted
REFUSED_LINES: Final = (1.0, 50)

# --- reload -----------------------------------------------------------------------
WATCH_SECONDS: Final = 1.0  # between two looks at the files
SETTLE_SECONDS: Final = 0.1  # files that still change are looked at again
MOST_SETTLING: Final = 20  # such looks
LONGEST_WATCH: Final = 30  # in WATCH_SECONDS: what is refused in a row is tried less and less often
READING_SECONDS: Final = 600.0  # for another process to read the files; there may be many rules
SHOWN_PROBLEMS: Final = 50  # log lines of one refusal

# --- the root of the keyring ------------------------------------------------------
ROOT_PAUSE_SECONDS: Final = 1.5  # between attempts: ready soon after a root is back
ROOT_REPORT_SECONDS: Final = 60.0  # between reports of a reason that stays the same
RENEWED_AT: Final = (0.5, 0.75)  # of a lease, at random: the fleet does not ask at once
LEASE_RETRIES: Final = 20  # a lease has room for as many after the first that failed
LEASE_LOOK_SECONDS: Final = 1.0  # between looks at what is left of it while the root is asked
STORE_START_SECONDS: Final = 1.0  # a start waits for a store; one that is down does not prevent it
UNLOCK_SECONDS: Final = 10.0  # of one caller that hands in a share
UNLOCK_LINE_BYTES: Final = 4096

# --- workers ----------------------------------------------------------------------
WORKER_START_SECONDS: Final = 60.0
CHANGE_SECONDS: Final = 30.0  # a worker prepares or applies a reload
POLL_SECONDS: Final = 1.0  # between two looks at each worker
SIGN_SECONDS: Final = 0.25  # between two questions for a sign of life
# Silent at so many looks in a row, while it could run: others get its connections.
SILENT_LOOKS: Final = 4
UNSERVED_SECONDS: Final = 2.0  # no worker accepts for longer than a restart takes: 503
ACCEPTED_AT_ONCE: Final = 64  # connections to a worker that does not accept them
# Connections that a worker was handed and has not taken: what it says of each fits its socket.
MOST_UNTAKEN: Final = 64
STALLED_TIMES: Final = 3  # silent for so many times `health.stalled_after`: replaced
FIRST_PAUSE_SECONDS: Final = 0.05  # before a restart; twice as long each time
LONGEST_PAUSE_SECONDS: Final = 5.0
STEADY_SECONDS: Final = 10.0  # after a life of at least this, without a pause
ORPHAN_GRACE_SECONDS: Final = 25.0  # without a supervisor, or at a SIGTERM of its own
SUPERVISOR_DESCRIPTORS: Final = 1024
NAME_BYTES: Final = 4096  # of a listener whose connection is handed over
CHANNEL_BYTES: Final = 64 * 1024 * 1024  # of one message to a worker or from it
HANDED_BYTES: Final = 63 * 1024 * 1024  # of them for a configuration: passphrases go with it
SECRET_BYTES: Final = 65_536  # the capacity of a pipe (pipe(7)): writing must not wait for a reader

# --- counts for status and migration ----------------------------------------------
LADDER_SECONDS: Final = 60.0  # between takes of what was counted; written if it has changed
LADDER_BYTES: Final = 64 * 1024 * 1024
LADDER_REFUSALS: Final = 64  # kinds kept of one rule; others are counted together
LADDER_UNLISTED: Final = 256  # unlisted places kept of one rule: the rarest go
UNLISTED_CLIENTS: Final = 3  # clients of such a place that are told apart
REPLACED_SECONDS: Final = 0.5  # between looks whether what a reload replaced is still in use
REPORT_BYTES: Final = 1 << 20  # of a report of `migrate verify`

# --- memory -----------------------------------------------------------------------
CLIENT_BYTES: Final = 6 * 1024  # of a client that is connected and asks for nothing
SESSION_BYTES: Final = 5632  # of a session that is cached
