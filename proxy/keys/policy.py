"""Numbers of the keys that nobody can set: how long, how often and how many, and why.

What can be set is in proxy/config/settings, sizes of wire forms are where they are read.
"""

from typing import Final

# --- a store that fails -----------------------------------------------------------
# A message waits for its keys, so a question to the store ends early.
STORE_SECONDS: Final = 0.25
HELD_UP_SECONDS: Final = 0.02  # a wait that ends so late has met a process that did not run
# An operator's question may take longer than one of a message.
OPERATOR_SECONDS: Final = 2.0
# How long the breaker stays open: spares a store that hangs, and is back soon after it is.
REST_SECONDS: Final = 1.0
# A killed connection fails at once and costs nothing, so it takes several to open the breaker.
FAST_FAILURES: Final = 3
QUESTIONS: Final = 8  # of one process to a shared store at a time
ERASE_SECONDS: Final = 8.0  # SQLite waits until none reads its log
CANCEL_AGAIN_SECONDS: Final = 0.2  # a cancellation can get lost in a library

# --- records of sessions ----------------------------------------------------------
# A store keeps a session for its `ttl`, the key of an ephemeral one for `grace` longer, a key
# package until it expires, and a revocation without end.
# How far a clock may be from the store's: 90 s, and what a measurement may be off.
MAX_SKEW_SECONDS: Final = 95
# With random 96-bit IVs a key is good for 2^32 messages (SP 800-38D, 8.3): 1,024 processes may each
# spend this many under one session key without counting together. A long value counts for several,
# so that these are 2^32 blocks of AES at most.
MAX_MESSAGES: Final = 1 << 22
# How far the clock of whoever made a KEK may be from those of the processes that seal under it.
CLOCKS_SECONDS: Final = 24 * 3600
CLOCK_WARN_SECONDS: Final = 30.0  # a clock that is off by more is reported
CLOCK_STEP_SECONDS: Final = 1.0  # back by more: set back; by less: measured anew
# Session ids count whole seconds: what began in this second is revoked with the one to come.
REVOKE_MARGIN_SECONDS: Final = 1

# --- what a process holds of sessions ---------------------------------------------
MAX_SCOPES: Final = 10_000
KNOWN_EPOCHS: Final = 100_000
SPENT_SESSIONS: Final = 100_000
TRIED_SESSIONS: Final = 256  # under which no tag has verified yet
DUE_SECONDS: Final = 2.0  # what is due is asked often, and costs a look at every scope
SHOWN_DUE: Final = 8  # sessions that are due and shown
PIECE: Final = 128  # sessions derived between two turns of the loop: 2 to 8 ms
MAP_STEP: Final = 250  # entries of a map read between two turns of the loop
PAUSED_OPENS: Final = 16  # so many values are opened without a turn of the loop
HOUSEKEEPING_SECONDS: Final = 10.0
LAST_HOUSEKEEPING_SECONDS: Final = 0.5  # at shutdown
ABSENT_SECONDS: Final = 1.0  # a key that the store lacked is not asked for again

# --- attempts while other processes change the same -------------------------------
ROUNDS: Final = 16  # each gives one message its session: only a plan of more scopes than fit fails
REPLACE_TRIES: Final = 3  # a session that does not fit
REVOKE_TRIES: Final = 8  # a revocation is written and read back
USAGE_TRIES: Final = 5  # the record of a KEK's use; what is not taken stays pending
RECORD_TRIES: Final = 16  # packages, markers and participants: nobody else repeats these
MOST_DOUBTS: Final = 2  # a record that is not authentic may have been damaged on its way

# --- fences -----------------------------------------------------------------------
FENCE_MS: Final = 368 * 24 * 3_600_000  # of an erasure: longer than any key and any key package
FENCE_MARGIN_MS: Final = 3_600_000  # any other stands so much longer than what is kept under it
KNOWN_FENCES: Final = 100_000
FENCES: Final = 256  # in the log; a process that has missed more asks about everything
FENCE_TRIES: Final = 32  # all verbs of a fleet write one log
LEDGER_LINES: Final = 10_000  # of the file of what was revoked and erased; of more, the latest
LEDGER_OF_OTHERS: Final = 64  # what other processes did, held in memory to be offered again

# --- revocations that no store took -----------------------------------------------
REVOKE_AGAIN_SECONDS: Final = 1.0
PENDING_BYTES: Final = 4 * 1024 * 1024  # of their file

# --- memory -----------------------------------------------------------------------
MEMORY_RECORDS: Final = 100_000
# Above this part of the room, only conversations that have records get more of them.
ROOM_FOR_ALL: Final = 0.9
ENDED_LOOK_SECONDS: Final = 1.0  # between two looks for records that have ended

# --- SQLite -----------------------------------------------------------------------
OVERWRITE_SECONDS: Final = 5.0  # an erasure waits for readers of the log; below ERASE_SECONDS
OVERWRITE_PAUSE_SECONDS: Final = 0.2  # each try keeps other writers out for a moment
BUSY_SECONDS: Final = 0.2  # below STORE_SECONDS, so that a busy file differs from a lost one
# Processes that begin together may all have to make the file, one after the other.
OPENING_SECONDS: Final = 5.0
OPENING_PAUSE_SECONDS: Final = 0.02
CLEAN_EVERY: Final = 256  # writes between two removals of what has ended
MAX_PAGES: Final = 262_144  # of 4 KiB: 1 GiB, some three million keys
LOG_BYTES: Final = 16 * 1024 * 1024  # of the write-ahead log; above, it is begun anew
MOST_LOG_BYTES: Final = 256 * 1024 * 1024  # where a reader prevents that: no more keys
LOG_PATIENCE_MS: Final = 50  # for readers of the log, while other writers wait
RESERVE_PAGES: Final = 16_384  # for revocations and notes, which no flood may keep out

# --- Redis ------------------------------------------------------------------------
OLDEST_REDIS: Final = 6  # major version: ACLs begin there
CONNECT_SECONDS: Final = 0.2  # below STORE_SECONDS, so that the reason is known
COMMAND_SECONDS: Final = 0.2
IDLE_CONNECTIONS: Final = QUESTIONS  # kept for later, of one process to one Redis
LISTEN_AGAIN_SECONDS: Final = 0.25
LISTEN_SECONDS: Final = 2.0  # silence after which a subscription is tried by a PING
WAIT_MS: Final = 80  # for a replica to have a revocation; below COMMAND_SECONDS
DISK_MS: Final = 1_500  # for the disk to have it: `appendfsync everysec` writes once a second
SETTLE_SECONDS: Final = 4.0  # for both
SETTLE_MARGIN_SECONDS: Final = 1.0  # for the answer to each: no message waits for it
SETTLE_MARK_MS: Final = 1_000  # how long the write stands that is waited for
MOST_REPLICAS: Final = 10_000
SCRIPT_KEYS: Final = 1_000  # of one script: Lua's stack ends below 8,000
NOTABLE_SKEW_MS: Final = 5_000  # reported by `doctor`
# A question follows a slot to its node; more turns than these mean that nodes do not agree.
CLUSTER_TURNS: Final = 6
CLUSTER_AGAIN_SECONDS: Final = 0.02  # while a slot moves
CLUSTER_ASKED: Final = 8  # nodes that are asked who has which slot
PASSWORD_BYTES: Final = 1024
LINE_MAX: Final = 64 * 1024  # bytes of an error, a number or a length
BULK_MAX: Final = 16 * 1024 * 1024  # bytes; records have some hundred, scripts some thousand
LIST_MAX: Final = 1 << 20
LEVELS_MAX: Final = 8  # of lists in lists; CLUSTER SLOTS has four

# --- processes of one keyring -----------------------------------------------------
WATCH_SECONDS: Final = 3.0  # between two looks at the file and at the others
LEASE_SECONDS: Final = 5.0  # a process seals so long after its last renewal
RENEW_SECONDS: Final = 1.0
RENEW_PAUSE_SECONDS: Final = 0.05  # between two renewals at least: others may have much changed
RENEW_TRIES: Final = 12  # where row or log of fences are altered, or replies are damaged
LEASE_MARGIN_SECONDS: Final = 0.5  # a verb waits so much longer for a row that does not change
LEASE_POLL_SECONDS: Final = 0.1
LEASE_WAIT_SECONDS: Final = 8.0  # a verb waits no longer, below the deadline of its call
MOST_REPLICA_LAG_SECONDS: Final = 2  # a master goes on alone for so long: failovers take longer
LEASE_KEEP_SECONDS: Final = 15.0  # a row stands so long
BURY_SECONDS: Final = 15.0  # a new process looks so long for the row of the one before it
AWAY_KEEP_SECONDS: Final = 24 * 3600.0  # that of a process that may seal without the store
PROCESS_NAME_BYTES: Final = 64
# Fences that a row names, as many as its one byte counts: verbs come in crowds.
MOST_LEARNED: Final = 255
ROSTER_KEYRINGS: Final = 16  # looked at; of more, those that were seen last
ROSTER_LIVE_SECONDS: Final = 60.0  # a keyring that was seen within it is in use, by whatever clock
ROSTER_REFRESH_SECONDS: Final = 5.0
ROSTER_BYTES: Final = 64 * 1024

# --- the keyring and its file -----------------------------------------------------
MAX_KEKS: Final = 256
MAX_RETIRED: Final = 4096
MAX_REVOCATIONS: Final = 10_000
MAX_FILE_BYTES: Final = 768 * 1024  # MAX_KEKS, MAX_REVOCATIONS and MOST_WRAPPINGS, in base64url
MOST_WRAPPINGS: Final = 16
MAX_ADOPTED: Final = 16  # keyrings whose tokens open here, too
MAX_INDEX_SECRETS: Final = 2  # the one that is being replaced, and the new one
MAX_FORMER_NAMES: Final = 16  # name keys that are kept, beside the one in use
MAX_RECORD_KEYS: Final = 16  # that are kept, beside the one in use
RECORD_OVERLAP_SECONDS: Final = 24 * 3600  # for which a former record key verifies at most
MOST_FORMER: Final = 64  # changes that a process may have missed and still take a signed file
MOST_SIGNATURES: Final = 8  # of one file
MOST_SIGNATURE_BYTES: Final = 128  # ECDSA with P-256 in DER has 72
SIGNING_KEY_BYTES: Final = 4096  # of its PEM file
SHOWN_ID_CHARS: Final = 16  # of a keyring's id
MOST_DRAWS: Final = 9  # of a KEK's id, until it is unlike the others

# --- passphrases and PINs ---------------------------------------------------------
# OWASP's floor for PBKDF2-HMAC-SHA-512 is 220,000; the ceiling keeps a forged file from
# burning minutes before it is refused.
P2C: Final = 250_000
P2C_MIN: Final = 220_000
P2C_MAX: Final = 1_000_000
LEAST_CHARS: Final = 12
LEAST_DIFFERENT: Final = 6
LEAST_COUNTING: Final = 8  # characters outside runs and common words
SHORTEST_RUN: Final = 3
MAX_PASSPHRASE_BYTES: Final = 1024
MOST_PIN_BYTES: Final = 255
MOST_DERIVED: Final = 8  # keys derived from a passphrase that are held

# --- roots ------------------------------------------------------------------------
KEY_SERVICE_SECONDS: Final = 5.0  # of one call
METADATA_SECONDS: Final = 2.0  # an address of the cloud's own: elsewhere nobody answers there
AWS_METADATA_SECONDS: Final = 1.0  # of each of its calls
VAULT_REVOKE_SECONDS: Final = 1.0  # giving back a token: it ends by itself too
ANSWER_BYTES: Final = 64 * 1024  # of the body that a key service sends
HEAD_AND_BODY_BYTES: Final = 2 * ANSWER_BYTES
TOKEN_FILE_BYTES: Final = 64 * 1024
VAULT_TOKEN_BYTES: Final = 8192  # a token or secret id; batch tokens have some hundred
KEY_FILE_BYTES: Final = 64 * 1024
SHARES_SECONDS: Final = 900.0  # handed-in shares are dropped if too few follow

# --- audit ------------------------------------------------------------------------
TEXT_CHARS: Final = 256  # of one value
LINE_BYTES: Final = 65_536
GATHER_SECONDS: Final = 0.2  # a line that no operation waits for may wait for others
RETRY_SECONDS: Final = 1.0  # after a write that failed
ANCHOR_SECONDS: Final = 600.0  # between two heads told to the log, from which a cut is seen
CLOSE_SECONDS: Final = 3.0  # at shutdown
LOG_WATCH_SECONDS: Final = 10.0  # between looks whether the log is still there
MOST_AT_ONCE: Final = 64  # lines of one write: messages wait for it
MOST_KEPT: Final = 2000  # lines kept while nothing can be written; those beyond are counted
FLUSH_SECONDS: Final = 10.0  # events are counted before one line for each kind is written
SESSION_LINES: Final = (20.0, 1000)  # a second, and at once; those beyond are counted
REFUSED_LINES: Final = (2.0, 50)  # the same of values that did not open, and of poison tokens
OPENED_SCOPES: Final = 128  # conversations in one line about a message; more have more lines
OPENED_FIELDS: Final = 64  # told apart in one line about a message; the others are told together
LINE_PARTS: Final = 16  # of what a line is kept by that is spelled once for many messages
LINES_KNOWN: Final = 4096  # parts of lines about messages, which are spelled once
MOST_KINDS: Final = 20  # of events that are counted at a time
SHOWN_FINDINGS: Final = 20  # of a verification

# --- participants and key packages ------------------------------------------------
MAX_ID_BYTES: Final = 256
MAX_REASON_CHARS: Final = 200
MAX_KEYS: Final = 32  # of one participant
MAX_RECIPIENTS: Final = 16  # as many as joserfc opens by default
MAX_PACKAGE_BYTES: Final = 64 * 1024
MAX_LISTED: Final = 1024  # packages in the list of a conversation
RSA_BITS: Final = 4096
PREKEY_SECONDS: Final = 7 * 86_400  # others seal for a prekey, unless an operator says otherwise
MOST_PREKEY_SECONDS: Final = 366 * 86_400
DIRECTORY_SECONDS: Final = 300  # for which a caller may keep a participant's public keys
PACKAGE_SKEW_SECONDS: Final = 60
PAIR_SECONDS: Final = 60.0  # in which the process that makes a key pair must end
MOST_WAITING: Final = 8  # callers that may wait for the key pair of another one
NICENESS: Final = 10  # of that process: traffic goes first
IDENTITY_AGAIN_SECONDS: Final = 60.0  # before a private key that did not open is tried again
IDENTITY_FILE_BYTES: Final = 32 * 1024
IDENTITIES_HELD: Final = 10_000
PARTICIPANTS_KNOWN: Final = 10_000
PINS_KNOWN: Final = 10_000
KNOWN_ISSUES: Final = 100_000
MARKER_MARGIN_MS: Final = 3_600_000  # a rotation's marker outlives every key that began before it

# --- operators' verbs -------------------------------------------------------------
# A revocation opens the keyring and seals it again: under a passphrase, 0.3 s of CPU or more.
CALL_SECONDS: Final = 10.0
MOST_CREDENTIAL_CHARS: Final = 16 * 1024  # of a caller's token
MOST_VALUES: Final = 100  # of one call
MOST_VALUE_BYTES: Final = 1024 * 1024
REPORT_AFTER_SECONDS: Final = 0.25  # after the response, whose time must not tell the reason

# --- commands that seal -----------------------------------------------------------
LOOK_SECONDS: Final = 0.05  # between two looks at a lease that its thread obtains
