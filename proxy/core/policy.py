"""Numbers of the core that nobody can set: how much, how many and for how long, and why.

What can be set is in proxy/config; sizes of wire forms and of standards are where they are read.
A comment gives what a number measures or bounds, and the reason for it; the unit is in its name
(`BYTES`, `CHARS`, `SECONDS`), other names count things.
"""

from typing import Final

# --- work between two pauses of the event loop ------------------------------------------------
PIECE_BYTES: Final = 64 * 1024  # piece in which slow operations search, decode or copy a text
LARGE_BYTES: Final = 1024 * 1024  # the same for fast operations
UNQUOTED_BYTES: Final = 16 * 1024  # the same for percent encoding: Python works byte by byte
INFLATED_BYTES: Final = 64 * 1024  # output at a time: zlib copies its rest of input each time
# Values that are sealed or opened together if they lie within TOGETHER_BYTES: half a millisecond.
VALUES_TOGETHER: Final = 256
TOGETHER_BYTES: Final = 256 * 1024
USUAL_BYTES: Final = 64 * 1024  # longest body whose usual strings are changed by one call
PORTION_BYTES: Final = 256 * 1024  # stretch of a body in which the tokens of a list are read

# --- what a message of any format may have: more is refused -----------------------------------
# Values that are selected: a dozen bytes can become a token of 200 bytes, and each takes 15 µs.
MOST_SELECTED: Final = 30_000
BODY_TOKEN_BYTES: Final = 64 * 1024  # longest body that becomes one token, not a sealed stream
# Decompressed size that is accepted whatever the compression ratio is.
INFLATED_FREE_BYTES: Final = 1024 * 1024
PATH_READINGS: Final = 32  # ways to read one path: no legitimate path has so many
COMPARED_CHARS: Final = 4096  # longest value that a condition compares as lax backends do

# --- names: of members and fields, and in the contexts of values ------------------------------
# Longest name of a field, and part of an unusual JSON name that is read: frameworks allow less.
NAME_BYTES_READ: Final = 4096
NAME_STEPS: Final = 32  # steps of a name such as `a[b][c]`
# Names with escapes or beyond ASCII, each counted once with 40 characters more: one takes 1 µs.
ODD_NAME_CHARS: Final = 2 * 1024 * 1024
UNLISTED_NAMES: Final = 64  # distinct unlisted names whose values are sealed: more are data
# Names in all contexts of a message, more in a long one: each context is hashed as a whole.
BOUND_CHARS: Final = 64 * 1024
USUAL_BOUND_CHARS: Final = 64 * 1024  # the same for a message that is changed without a walk
JOINED_DEPTH: Final = 16  # nesting of joined names, which callers and operators give
JOINED_PARTS: Final = 10_000  # parts of one joined name
ASKED_NAME_CHARS: Final = 1024  # longest name that the backend is asked for
ASKED_TARGET_CHARS: Final = 4096  # longest target with which it is asked
MISREAD_NAMES: Final = 1000  # characters that are shown of the names of a body's records

# --- JSON -------------------------------------------------------------------------------------
JSON_DEPTH: Final = 128
# Commas and brackets: values that are skipped are parsed into objects much larger than the text.
JSON_VALUES: Final = 1_000_000
TEXT_NESTING: Final = 8  # JSON texts within each other in which tokens are opened
SELECTED_NESTING: Final = 4  # JSON texts within each other that a selector reads: each is a copy
PROBED_BYTES: Final = 16 * 1024  # longest text that the scanner reads whatever is in it
# The same for paths through lists: so few bytes hold no more values than a text may have.
LISTED_BYTES: Final = 512 * 1024
# Longest text with few values that the scanner reads: it takes 1 to 2 ms.
SCANNED_BYTES: Final = 2 * 1024 * 1024

# --- GraphQL documents ------------------------------------------------------------------------
DOCUMENT_CHARS: Final = 256 * 1024
DOCUMENT_TOKENS: Final = 20_000
DOCUMENT_DEPTH: Final = 64  # nesting of brackets
DOCUMENT_FIELDS: Final = 20_000  # fields of an operation, those of a fragment for each spread
DOCUMENT_LEVELS: Final = 128  # nesting of fields, where a fragment is one level

# --- markup, forms and multipart bodies -------------------------------------------------------
MARKUP_TAGS: Final = 50_000  # behind so many, no token is opened: each takes some microseconds
FORM_PAIRS: Final = 10_000  # frameworks allow 1,000 to 10,000
FORM_NAME_BYTES: Final = 1024 * 1024  # all names of a form as they are spelled
FORM_PARTS: Final = 1_000  # frameworks allow 100 to 1,000
PART_HEAD_BYTES: Final = 8 * 1024  # frameworks allow 0.5 to 80 KiB
PART_WHOLE_BYTES: Final = 64 * 1024  # longest content of a part that is handed on whole

# --- search -----------------------------------------------------------------------------------
SEARCHED_WORDS: Final = 8  # words of one query, of which the backend gets one

# --- records ----------------------------------------------------------------------------------
RECORDS: Final = 30_000  # records of a body: to begin one takes as long as to seal a value
EVENT_LINES: Final = 120_000  # lines of server-sent events: four for each record
ATTACHMENTS: Final = 10_000  # attachments that one packet may announce
# Longest response that is read whole: where one of its records fails, its status can say so.
RECORDS_WHOLE_BYTES: Final = 64 * 1024
RUN_BYTES: Final = 64 * 1024  # JSON in one run of deltas; the next part begins another run
# Longest packet that opens a connection: it may hold tokens of a few KiB.
OPENING_PACKET_BYTES: Final = 64 * 1024

# --- caches: clients and backends choose what is kept, so it is bounded -----------------------
KEPT_HEADS: Final = 256  # sets of header names, with what is decided by them
KEPT_HEAD_BYTES: Final = 2048  # longest such set
KEPT_FACTS: Final = 256  # values of the headers that rules read, types and directives above all
KEPT_PATH_CHARS: Final = 128  # longest path that is kept with what rules say of it
KEPT_NAME_CHARS: Final = 4096  # names of one message that are kept with their contexts
KEPT_NEEDS: Final = 64  # sets of keys of one context: clients choose the tokens
KEPT_BLOCKS: Final = 64  # statuses and types for which a rule keeps the block
KEPT_MEMBER_NAMES: Final = 32  # names of the largest object whose check is kept

# --- search on sealed fields ------------------------------------------------------------------
INDEXED_CHARS: Final = 64 * 1024  # longest text whose words are looked for: it takes some ms
INDEX_KEYS: Final = 256  # keys of scopes and fields that are kept: clients choose conversations

# --- what is shown, and expiry ----------------------------------------------------------------
SHOWN_CHARS: Final = 64  # part of a place that an answer shows
SHOWN_OPERATION_CHARS: Final = 100  # part of the name of an operation
EXPIRY_SKEW_SECONDS: Final = 60  # how far the clock of whoever sealed may be ahead
