"""Numbers of the core that nobody can set: how much, how many and for how long, and why.

What can be set is in proxy/config; sizes of wire forms and of standards are where they are read.
"""

from typing import Final

# --- what is worked at in one turn of the event loop ------------------------------------------
# Of a text that is searched, decoded or copied at a time where that is slow.
PIECE_BYTES: Final = 64 * 1024
LARGE_BYTES: Final = 1024 * 1024  # the same where it is fast
# Sealed or opened between two pauses, if they lie within TOGETHER_BYTES: half a millisecond.
VALUES_TOGETHER: Final = 256
TOGETHER_BYTES: Final = 256 * 1024
USUAL_BYTES: Final = 64 * 1024  # of a body whose usual strings are changed by one call
# Within which the tokens of a list lie that are read between two pauses.
PORTION_BYTES: Final = 256 * 1024
UNQUOTED_BYTES: Final = 16 * 1024  # decoded or encoded at a time, a byte each in Python
# At a time: zlib copies its remaining input when it reaches its limit.
INFLATED_BYTES: Final = 64 * 1024

# --- what a message may have: more is refused -------------------------------------------------
# Values of one text: a dozen bytes of a list may become a token of 200, and each takes 15 µs.
MOST_SELECTED: Final = 30_000
JSON_DEPTH: Final = 128
# What is skipped is parsed on the way, into objects much larger than its text.
JSON_VALUES: Final = 1_000_000
# Of names with escapes or beyond ASCII, each counted once and with 40 more: one takes 1 µs.
ODD_NAME_CHARS: Final = 2 * 1024 * 1024
UNLISTED_NAMES: Final = 64  # distinct ones whose values are sealed: more are data
# Of a field's name, and characters of an unusual JSON name: frameworks allow no more.
NAME_BYTES_READ: Final = 4096
NAME_STEPS: Final = 32  # of a name such as `a[b][c]`
# Of the names in all contexts of a message, at least: each context is hashed whole.
BOUND_CHARS: Final = 64 * 1024
USUAL_BOUND_CHARS: Final = 64 * 1024  # the same of a message that is not walked
JOINED_DEPTH: Final = 16  # of names that callers and operators give
JOINED_PARTS: Final = 10_000
# Of a body that becomes one token; a longer one is a sealed stream.
BODY_TOKEN_BYTES: Final = 64 * 1024
MISREAD_NAMES: Final = 1000  # of a body that is read as another type than it has
TEXT_NESTING: Final = 8  # of texts of JSON in each other in which tokens are opened
# Of texts that a selector reads as JSON, one in the other: each costs a copy.
SELECTED_NESTING: Final = 4
DOCUMENT_CHARS: Final = 256 * 1024  # of a GraphQL document
DOCUMENT_TOKENS: Final = 20_000
DOCUMENT_DEPTH: Final = 64  # of brackets
# Of an operation, with those of a fragment for each of its spreads.
DOCUMENT_FIELDS: Final = 20_000
DOCUMENT_LEVELS: Final = 128  # of fields in each other, each fragment counted as one
MARKUP_TAGS: Final = 50_000  # behind more, nothing is opened: each takes some microseconds
FORM_PARTS: Final = 1_000  # frameworks allow 100 to 1,000
PART_HEAD_BYTES: Final = 8 * 1024  # frameworks allow 0.5 to 80 KiB
FORM_PAIRS: Final = 10_000  # frameworks allow 1,000 to 10,000
FORM_NAME_BYTES: Final = 1024 * 1024  # of all names, as they are spelled
RECORDS: Final = 30_000  # of a body: each takes as long to begin with as a value to seal
EVENT_LINES: Final = 120_000  # read at once: four for each record that a body may have
ATTACHMENTS: Final = 10_000  # that one packet may announce
INFLATED_FREE_BYTES: Final = 1024 * 1024  # that are inflated whatever their ratio
ASKED_NAME_CHARS: Final = 1024  # of a name with which, or for which, the backend is asked
ASKED_TARGET_CHARS: Final = 4096
PATH_READINGS: Final = 32  # no legitimate path has so many
COMPARED_CHARS: Final = 4096  # of a value that a condition compares loosely

# --- what is read whole, and what as it comes -------------------------------------------------
# A response of so many is read whole: where a record fails it is refused with a status.
RECORDS_WHOLE_BYTES: Final = 64 * 1024
PART_WHOLE_BYTES: Final = 64 * 1024  # a content of so many is handed on whole
# Of JSON in the parts of one run of deltas; the next part begins another.
RUN_BYTES: Final = 64 * 1024
# In which a packet opens a connection: it may hold tokens of a few KiB.
OPENING_PACKET_BYTES: Final = 64 * 1024
PROBED_BYTES: Final = 16 * 1024  # of a text that the scanner tries before the walk
LISTED_BYTES: Final = 512 * 1024  # too small for more values than a text may have
# Of a text with few values: the scanner needs 1 to 2 ms for it.
SCANNED_BYTES: Final = 2 * 1024 * 1024

# --- what is kept: clients and backends choose it, so it is bounded ---------------------------
KEPT_HEADS: Final = 256  # whose names are kept, with what they decide
KEPT_HEAD_BYTES: Final = 2048  # of the names of such a head
KEPT_PATH_CHARS: Final = 128  # of a path that is kept with what rules say of it
KEPT_NAME_CHARS: Final = 4096  # of names that are kept with their contexts
KEPT_NEEDS: Final = 64  # of the contexts of some names: clients choose the tokens
KEPT_BLOCKS: Final = 64  # statuses and types whose block a rule keeps
KEPT_MEMBER_NAMES: Final = 32  # of one length

# --- what is told and how long it holds -------------------------------------------------------
SHOWN_CHARS: Final = 64  # of a place in an answer
SHOWN_OPERATION_CHARS: Final = 100  # of the name of an operation
EXPIRY_SKEW_SECONDS: Final = 60  # by which the clock of whoever sealed may be ahead
