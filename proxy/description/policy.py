"""Limits of descriptions: a document from elsewhere must not take all memory or time."""

from typing import Final

DOCUMENT_BYTES: Final = 32 * 1024 * 1024
REFERENCES: Final = 100  # that lead to each other before one leads to a value
CHOICES: Final = 64  # combinations of `oneOf` and `anyOf`
SAMPLES: Final = 200  # messages of one operation
SAMPLE_DEPTH: Final = 24
SAMPLE_VALUES: Final = 4000
SAMPLE_CHARS: Final = 20_000  # of a text that must be long
NARROW_CHARS: Final = 512  # up to these, tokens are of the short form: others hold next to nothing
