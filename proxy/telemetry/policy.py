"""Numbers of logs, metrics and the tap that nobody can set."""

from typing import Final

# --- logs -------------------------------------------------------------------------
LOG_CHARS: Final = 256  # of a text that a line shows
SCRUBBED_CHARS: Final = 4096  # of a text that are read
CACHED_TEXTS: Final = 1024  # scrubbed texts, and texts of each kind of an access line
RETOLD_SECONDS: Final = 600.0  # between lines of a state that lasts
STATE_SECONDS: Final = 60.0  # not seen for so long, it has ended
MOST_STATES: Final = 64
PIPE_BYTES: Final = 1 << 20  # that a pipe is asked to hold: Linux allows as much to every user

# --- what looks like a secret: tuned on texts of logs, and held by tests/scrubbing --
MOST_CONTROLS: Final = 3  # control characters; above, it is binary
MOST_HIGH: Final = 5  # characters above ASCII beside one of them
SHORTEST_SECRET: Final = 20
SHORTEST_OF_TWO: Final = 32  # kinds of characters, of three
MIXED_BITS: Final = 3.5  # entropy of a character, of three kinds
BITS_OF_TWO: Final = 3.8
BITS_OF_BASE64: Final = 4.4

# --- what looks like personal data ------------------------------------------------
SENSITIVE_CHARS: Final = 256  # of a text that are looked at
NAME_CHARS: Final = 64
JOINED_WORDS: Final = 3  # of a name, read as one

# --- metrics ----------------------------------------------------------------------
MOST_SERIES: Final = 5000  # of one metric; more (rules renamed by many reloads) count as `other`
BUCKETS_MS: Final = (0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500)

# --- the tap and traces -----------------------------------------------------------
LEASE_SECONDS: Final = 5.0  # messages are recorded after the last look
MOST_PER_SECOND: Final = 20
MOST_KEPT: Final = 200
MOST_PENDING: Final = 100  # messages that have not ended yet
SHAPE_BYTES: Final = 64 * 1024  # of a larger body only the size is shown
SHAPE_ROWS: Final = 12
SHAPE_DEPTH: Final = 8
SHAPE_CHARS: Final = 160  # of a value that the demo shows
TRACES_CLOSE_SECONDS: Final = 3.0
