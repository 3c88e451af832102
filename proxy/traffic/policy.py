"""Numbers of the traffic that nobody can set: how long, how much and how many, and why.

What can be set is in proxy/config/limits.py; what HTTP and WebSocket fix is where it is read.
A comment gives what a number measures or bounds, and the reason for it; the unit is in its name
(`BYTES`, `CHARS`, `SECONDS`), other names count things.
"""

from typing import Final, NamedTuple

# --- turns of the event loop ------------------------------------------------------------------
# Processor time after which an overloaded turn begins no more requests: an operation of the store
# has 250 ms.
TURN_SECONDS: Final = 0.1
FAIR_TIMES: Final = 1.5  # a multiple of it, for clients that have had less than others
BUSY_SECONDS: Final = 0.1  # between looks at how busy the process is
SATURATED: Final = 0.9  # share of the time in which it runs or would run: there is no more
STILL_SATURATED: Final = 0.75  # below that there is
TURNED_SHARE: Final = 0.3  # of the time that turns with requests take then, at least
LEAST_SHARE: Final = 0.1  # of a processor that is reckoned with
NEWCOMERS: Final = 0.25  # connections that are let in then for each request that is begun
FEW_NEWCOMERS: Final = 0.03  # the same of clients that have more of them than others
SHORT_BACKLOG: Final = 64  # connections that wait to be accepted then: more would wait in vain
HELD_BACK_SECONDS: Final = 0.02  # until connections are looked at again that wait in the kernel
# So many are accepted then, by a whole processor. To turn one away takes 50 µs: a tenth of it all.
LOOKED_AT: Final = 40
LEAST_LOOKED_AT: Final = 4
STANDING_SECONDS: Final = 1.0  # how long turns must be long before the loop is overloaded
SHARES_SECONDS: Final = 1.0  # how long it counts how many requests a client has begun
SLICE_SECONDS: Final = 0.0005  # work at a long message before others have a turn
# Longest body of few values: to find, seal and splice them takes a slice or two.
LONG_BYTES: Final = 2048 * 1024
STRETCH_BYTES: Final = 16 * 1024  # of a body: its marks are counted so, until they are many
TICK_SECONDS: Final = 0.25  # interval of the timer that looks at deadlines
# Tasks that go on after their client has left; beyond it, a task ends with its client.
MOST_OUTLIVING: Final = 1024

# --- connections of clients -------------------------------------------------------------------
BACKLOG: Final = 1024  # connections that wait to be accepted
UNSENT_BYTES: Final = 128 * 1024  # of one client that the kernel keeps before they can be sent
PROBE_SECONDS: Final = 1.0  # time in which the owner of an existing Unix socket must answer
# First and longest pause before the next accept where descriptors have run out.
LEAST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 1.0
REPORT_SECONDS: Final = 10.0  # time between two log lines about connections that are refused
MOST_PORTS_TOLD: Final = 64  # ports that a listener reports: clients choose which ones they call
IDLE_GRACE_SECONDS: Final = 3.0  # idle connections stay so long in a drain: a request may come
# How long exchanges of a closed listener may look at the copies of messages that were cut.
LAST_LOOK_SECONDS: Final = 0.5
GONE_SECONDS: Final = 0.1  # twice this after its end, a client is asked whether it still reads
RESET_SECONDS: Final = 0.05  # time for the reset with which a client that is near replies then
PROXY_HEADER_BYTES: Final = 4096  # version 1 has at most 107; version 2 may have extensions (TLVs)
CHUNK_LINE_BYTES: Final = 1024  # the line with the size of a chunk and its extensions
CHUNKS_AT_ONCE: Final = 1024  # of one read: they may have a byte each, and take a millisecond
TRAILER_BYTES: Final = 65536  # trailers of one body: they are read and dropped

# --- the upstream -----------------------------------------------------------------------------
# Time for the beginning of an upload; a slower one counts as a long transfer at once.
BEGINNING_SECONDS: Final = 0.5
LONG_TRANSFER_SECONDS: Final = 3.0  # an upload or download that lasts longer needs no permit
UNREAD_SECONDS: Final = 1.0  # the same for a download whose client does not read
MOST_RETRIES: Final = 10  # retries saved up: a failing upstream soon gets no more of them
OVERLOADED_SHARE: Final = 0.1  # share of `timeouts.queue` for which requests wait in an overload

# --- the limit of requests at a time, which follows how fast the upstream answers -------------
LEAST_LIMIT: Final = 5  # so many requests keep even a backend of one thread busy
WINDOW_SECONDS: Final = 0.1  # shortest window in which the mean of answer times is taken
WINDOW_MOST_SECONDS: Final = 1.0  # longest such window
PRECISE_SHARE: Final = 0.05  # standard error, as a share of the mean, that ends a window early
TOLERANCE: Final = 1.25  # multiple of the usual time from which on answers lower the limit
# Multiple of the usual time that one answer counts at most: one of a minute must not decide.
OUTLIER: Final = 4.0
INSTANT_SECONDS: Final = 1e-6  # least time that an answer counts
STEEPEST: Final = 0.5  # least share of the limit that one step, or the first trial, leaves
# Time between trials: a limit that is all in use is lowered to see whether it made answers slow.
TRIAL_SECONDS: Final = 10.0
TRIAL_SHARE: Final = 0.7  # share of the limit that a later trial leaves
HELPED: Final = 0.5  # share of the expected gain in speed from which on a lower limit stays
CERTAIN: Final = 1.5  # standard errors from which on a difference counts
GIVEN_UP: Final = 0.1  # share of late requests that clients give up: the limit is far too high

# --- overload: who may wait -------------------------------------------------------------------
NEWEST_SHARE: Final = 0.3  # weight of the last interval in the pace of a `QueueRoom`
# Share of its time in which a waiting request should have its turn: the pace may fall meanwhile.
IN_TIME_SHARE: Final = 0.6
LEAST_WAITING: Final = 10  # requests that may always wait: a tenth is left to other clients

# --- the budget of bytes ----------------------------------------------------------------------
# A body whole, its pieces and the bytes that they are joined to, as a multiple of its length.
READ_TIMES: Final = 2
PIECE_BYTES: Final = 4096  # up to which pieces are joined: each takes 33 bytes beside its own
READ_STEP_BYTES: Final = 64 * 1024  # by which what is reserved of a body in chunks grows
STREAM_BYTES: Final = 256 * 1024  # of a body that passes: windows, and what a socket gave at once
RECORDS_BYTES: Final = 16 * 1024  # of a stream of events: hardly ever so much
CLIENT_SHARE: Final = 0.75  # of the budget, that one client may have
MEMORY_SECONDS: Final = 5.0  # how long a request waits for room
MOST_HELD_UP: Final = 64  # requests that wait for it; each has a window of its body by then
LOOK_SECONDS: Final = 0.5  # between looks at those who wait
SLOWEST_BYTES: Final = 32 * 1024  # per second, of a client whose body holds memory others wait for

# --- exchanges --------------------------------------------------------------------------------
MOST_CLAIMS: Final = 256  # clients and routes whose claims to permits are kept
MOST_PORTS: Final = 64  # original ports of one listener; another one replaces one without traffic
ASKED_SECONDS: Final = 5.0  # how long a name that the backend told is kept for its caller
MOST_ASKED: Final = 4096  # names that are kept so
ASKED_ANSWER_BYTES: Final = 1024 * 1024  # longest answer that tells a name

# --- WebSockets and Socket.IO -----------------------------------------------------------------
# How long a WebSocket is kept whose client sends no more: its last messages go upstream.
LAST_MESSAGES_SECONDS: Final = 0.5
PACKED_AT_ONCE: Final = 16 * 1024  # compressed bytes: at most 1.6 MiB, inflated in milliseconds
COMPRESSED_AT_ONCE: Final = 64 * 1024  # bytes of a message that are compressed again in 2 ms
MESSAGE_FREE_BYTES: Final = 1024 * 1024  # inflated size that is accepted at any ratio
MESSAGE_SLICE_BYTES: Final = 16 * 1024  # compressed bytes that are inflated between two pauses
ANNOUNCED_SECONDS: Final = 120.0  # time for attachments to arrive after the packet they belong to
# Sessions that await attachments, and what all and one of them keep, by estimate: the oldest go.
ANNOUNCED_SESSIONS: Final = 10_000
ANNOUNCED_BYTES: Final = 32 * 1024 * 1024
ANNOUNCED_BYTES_OF_ONE: Final = 1024 * 1024
ANNOUNCED_SID_CHARS: Final = 256  # longest id of such a session

# --- dry runs ---------------------------------------------------------------------------------
COPIES_SECONDS: Final = 5.0  # time to look at the copies of a message after it was cut
COPIES_OF_SOCKET_SECONDS: Final = 5.0  # the same for a WebSocket
# Messages whose copies are looked at; the copies of another one that was cut are dropped.
MOST_CUT: Final = 64
TRIED_BYTES: Final = 1024 * 1024  # longest body that is tried: a dry run takes memory and time

# --- what is reported of traffic --------------------------------------------------------------
SCANNED_PER_SECOND: Final = 10  # messages that are searched for sensitive values
SCANNED_BYTES: Final = 32 * 1024  # longest body that is searched
SCANNED_NODES: Final = 2000  # values of a JSON text that are looked at
SCANNED_DEPTH: Final = 16  # nesting down to which they are looked at
SCANNED_FIELDS: Final = 200  # fields of a form that is searched, and elements of each list
MOST_SIBLINGS: Final = 8  # names at one place of a path; further ones are taken for values
MOST_LEVELS: Final = 8  # segments of a path that are told apart
MOST_PLACES: Final = 4096  # places that are remembered: clients must not fill memory with names
UNREAD_REPORT_SECONDS: Final = 3600.0  # time between two reports of one rule

# --- callers ----------------------------------------------------------------------------------
MOST_VERDICTS: Final = 10_000  # credentials of one listener whose caller is known
OPENS_SECONDS: Final = 60.0  # for which `opens_per_minute` of a caller counts
MOST_NAMES: Final = 1024  # certificates whose names are kept
VERDICT_SECONDS: Final = 300.0  # how long one is at most
CLOCK_SKEW_SECONDS: Final = 60.0  # by which the clock of an issuer may differ from ours
JOSE_HEADER_BYTES: Final = 4096  # of the header of a token
CLAIM_BYTES: Final = 65_536  # of its claims
NAME_CHARACTERS: Final = 1024  # of a claim that can be a name
XFCC_BYTES: Final = 32_768  # of X-Forwarded-Client-Cert: eight elements with a chain each
TABLE_BYTES: Final = 4 << 20  # of a table of tenants
KEY_SET_BYTES: Final = 262_144  # of a JWK Set in a file
MOST_KEYS: Final = 64  # of one issuer
RSA_BITS: Final = range(2048, 8193)  # of a key: RFC 7518 section 3.3, and what takes no CPU
KEYS_FRESH_SECONDS: Final = 300.0  # a JWK Set that says nothing of it is asked for again after
KEYS_FRESH: Final = (60.0, 86_400.0)  # what it may say
KEYS_KEPT_SECONDS: Final = 86_400.0  # how long the last good set is used while the issuer is away
KEYS_AGAIN_SECONDS: Final = 10.0  # between two questions, whatever asks for them
KEYS_WAIT_SECONDS: Final = 5.0  # how long a request waits for keys
FAILED_AT_ONCE: Final = 40  # credentials of one client that do not hold
FAILED_PER_SECOND: Final = 2.0
MOST_FAILING: Final = 4096  # clients whose failures are counted
FAILED_SHARE: Final = 0.05  # of the CPU, for credentials of all clients that do not hold
FAILED_BURST_SECONDS: Final = 0.25
PLACE_HASH_CHARS: Final = 6  # of the hash that stands for a name of a client in the log
PLACE_STEPS: Final = 16  # of a path that are spelled in the log
LOOKED_AT_PER_SECOND: Final = 20  # messages whose unlisted names are counted, of one listener
MOST_LOOKED_AT: Final = 100  # unlisted values of one of them
MOST_UNLISTED: Final = 256  # unlisted places that are kept of one rule: the rarest go
MOST_CLIENTS_TOLD: Final = 3  # clients of an unlisted place that are told apart


class Evidence(NamedTuple):
    """How many requests that succeeded, of how many clients, had a name, and in which share."""

    requests: int
    clients: int
    share: float


PROPOSED: Final = Evidence(20, 3, 0.15)  # a tenth may be hostile, of however many clients
