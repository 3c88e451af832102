"""Numbers of the traffic that nobody can set: how long, how much and how many, and why.

What can be set is in proxy/config/limits.py; what HTTP and WebSocket fix is where it is read.
"""

from typing import Final

# --- turns of the event loop ------------------------------------------------------------------
# Overloaded, a turn begins no request after it: an operation of the store has 250 ms.
TURN_SECONDS: Final = 0.1
FAIR_TURN_SECONDS: Final = 0.15  # the same for clients that have had less than others
STANDING_SECONDS: Final = 1.0  # for which the least delay of the loop counts
SHARES_SECONDS: Final = 1.0  # for which what clients have had counts
SLICE_SECONDS: Final = 0.0005  # of work at a long message before others have a turn
# A body of so many is found, sealed and spliced in a slice or two, if it has few values.
LONG_BYTES: Final = 2048 * 1024
# Between two full collections of garbage while long messages are worked at.
COLLECTED_SECONDS: Final = 30.0
TICK_SECONDS: Final = 0.25  # of the timer that looks at deadlines
# Works that outlive who waits for them; beyond it, work ends with its client.
MOST_OUTLIVING: Final = 1024

# --- connections of clients -------------------------------------------------------------------
BACKLOG: Final = 1024  # connections that wait to be accepted
PROBE_SECONDS: Final = 1.0  # in which another process answers that has a Unix socket
LEAST_PAUSE_SECONDS: Final = 0.1  # before the next accept where descriptors have run out
LONGEST_PAUSE_SECONDS: Final = 1.0
REPORT_SECONDS: Final = 10.0  # between two lines about refused connections
MOST_PORTS_TOLD: Final = 64  # of one listener: clients choose the ports that they call
# For which a drain keeps idle connections: a request may be on its way.
IDLE_GRACE_SECONDS: Final = 3.0
# Exchanges of a closed listener may look at copies of what they have cut.
LAST_LOOK_SECONDS: Final = 0.5
GONE_SECONDS: Final = 0.1  # twice this after its end, a client is asked if it still reads
RESET_SECONDS: Final = 0.05  # which the reset takes that replies, where the client is near
# Version 1 has at most 107; version 2 may have extensions (TLVs).
PROXY_HEADER_BYTES: Final = 4096
CHUNK_LINE_BYTES: Final = 1024  # of the size of a chunk with its extensions
TRAILER_BYTES: Final = 65536  # which are read and go no further

# --- the upstream -----------------------------------------------------------------------------
# For the first window of an upload; a slower one is a long transfer from the beginning.
BEGINNING_SECONDS: Final = 0.5
# An upload or a download that lasts longer counts beside the permits.
LONG_TRANSFER_SECONDS: Final = 3.0
UNREAD_SECONDS: Final = 1.0  # the same for a download whose client does not read
# Saved up: a failing upstream is soon asked no more often than without retries.
MOST_RETRIES: Final = 10
# Of `timeouts.queue` for which a request waits while more is asked than can be done.
OVERLOADED_SHARE: Final = 0.1

# --- the limit of requests at a time, which follows how fast the upstream answers -------------
LEAST_LIMIT: Final = 5  # so many keep even a backend of one thread busy
# The standard error at which a mean is precise, so that its window is over.
PRECISE_SHARE: Final = 0.05
WINDOW_SECONDS: Final = 0.1  # in which a mean is taken, at least
WINDOW_MOST_SECONDS: Final = 1.0
TOLERANCE: Final = 1.25  # times the usual time that answers may take before the limit falls
# Times the usual time that one answer counts at most: a report of a minute says nothing.
OUTLIER: Final = 4.0
STEEPEST: Final = 0.5  # share to which the limit falls at a time
# After which a limit that is all in use is lowered for a window: was it what made it slow?
TRIAL_SECONDS: Final = 10.0
TRIAL_SHARE: Final = 0.7  # to which it is lowered; the first time by STEEPEST
# A lower limit helped if answers became faster by this share of what it was lowered by.
HELPED: Final = 0.5
CERTAIN: Final = 1.5  # standard errors from which on a difference counts
# Share of requests that clients give up later than is usual: the limit is far too high.
GIVEN_UP: Final = 0.1
INSTANT_SECONDS: Final = 1e-6  # the least time that an answer counts

# --- overload: who may wait -------------------------------------------------------------------
NEWEST_SHARE: Final = 0.3  # what the last interval counts in the pace of a `QueueRoom`
# Of its time in which who waits is to have its turn: the pace may fall meanwhile.
IN_TIME_SHARE: Final = 0.6
LEAST_WAITING: Final = 10  # may always wait: a tenth of them is left to other clients

# --- exchanges --------------------------------------------------------------------------------
ASKED_SECONDS: Final = 5.0  # a name that the backend told is kept for its caller
MOST_ASKED: Final = 4096  # such names
ASKED_ANSWER_BYTES: Final = 1024 * 1024
MOST_CLAIMS: Final = 256  # kept: of clients that send just now
# Of one listener with open connections; the next that is called replaces one.
MOST_PORTS: Final = 64
# A WebSocket is kept whose client sends no more: its last messages go upstream.
LAST_MESSAGES_SECONDS: Final = 0.5
ANNOUNCED_SECONDS: Final = 120.0  # after their packet, attachments may arrive
ANNOUNCED_SESSIONS: Final = 10_000  # above it or above ANNOUNCED_BYTES, the oldest are dropped
ANNOUNCED_BYTES: Final = 32 * 1024 * 1024  # of all sessions, by estimate
ANNOUNCED_BYTES_OF_ONE: Final = 1024 * 1024
ANNOUNCED_SID_CHARS: Final = 256
# Compressed bytes: at most 1.6 MiB, which inflate in some milliseconds.
PACKED_AT_ONCE: Final = 16 * 1024
COMPRESSED_AT_ONCE: Final = 64 * 1024  # bytes of a message that are compressed again in 2 ms
MESSAGE_FREE_BYTES: Final = 1024 * 1024  # of a message that are inflated whatever their ratio
MESSAGE_SLICE_BYTES: Final = 16 * 1024  # inflated at a time

# --- dry runs and what is reported of traffic -------------------------------------------------
# After the end of a message that was cut, its copies may be looked at.
COPIES_SECONDS: Final = 5.0
MOST_CUT: Final = 64  # messages whose copies are looked at: no further ones are that were cut
COPIES_OF_SOCKET_SECONDS: Final = 5.0  # the same for a WebSocket
TRIED_BYTES: Final = 1024 * 1024  # a longer body is not tried: a dry run takes memory and time
SCANNED_PER_SECOND: Final = 10  # messages in whose members sensitive values are looked for
SCANNED_BYTES: Final = 32 * 1024
SCANNED_NODES: Final = 2000
SCANNED_DEPTH: Final = 16
SCANNED_FIELDS: Final = 200
MOST_SIBLINGS: Final = 8  # names in one place of a path; more are taken for values
MOST_LEVELS: Final = 8  # of a path that are told apart
MOST_PLACES: Final = 4096  # remembered, so that a client cannot fill memory with names
UNREAD_REPORT_SECONDS: Final = 3600.0  # between two reports of one rule
