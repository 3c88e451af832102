"""Numbers of reading configuration that nobody can set; what can be set is in settings."""

from typing import Final

# --- how much a file holds --------------------------------------------------------
FILE_BYTES: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 32  # of YAML; recursion stays far below Python's limit
MAX_RULES: Final = 100_000  # of one listener
SENTINEL_CHARS: Final = 64  # of a word that ends a stream
PURPOSE_CHARS: Final = 64  # of a purpose of use
MASK_CHARS: Final = 64  # that a mask keeps at one end, or that stand for the rest

# --- what messages show -----------------------------------------------------------
SHOWN_CHARS: Final = 60  # of a text from the file
MESSAGE_CHARS: Final = 270
SHOWN_MISTAKES: Final = 1000  # of one file
COMPARED_CHARS: Final = 40  # of a word that is compared with those that are known
TELLING_CHARS: Final = 4  # of a word that may tell what a secret is, at least
QUOTED_CHARS: Final = 3  # of fewer, a part of a quoted text tells nothing
