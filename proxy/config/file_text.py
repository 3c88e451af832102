"""The text of a configuration file, or what is wrong with the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from .positions import Position
from .problems import Problems

MAX_BYTES: Final = 4 * 1024 * 1024
_START: Final = Position(1, 1)
_NOT_PRINTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)


def read(path: Path, problems: Problems) -> str | None:
    """Return the file's text; None where it cannot be had, which is then a mistake."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        problems.at(_START, "", "is a folder, not a file")
    except FileNotFoundError:
        problems.at(_START, "", "there is no such file; `sealyard init` writes one to start from")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the name is not possible"
        problems.at(_START, "", f"cannot be read: {reason}")
    else:
        return decode(content, problems)
    return None


def decode(content: bytes, problems: Problems) -> str | None:
    """Return the text that `content` holds; None where it holds none."""
    if len(content) > MAX_BYTES:
        problems.at(_START, "", f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB")
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", errors="replace")
        problems.at(_position(before), "", "the file is not UTF-8 from here on")
        return None
    strange = _NOT_PRINTABLE.search(text)
    if strange is not None:
        code = ord(strange[0])
        problems.at(
            _position(text[: strange.start()]),
            "",
            f"the control character U+{code:04X} stands here",
        )
        return None
    return text


def _position(before: str) -> Position:
    line = before.count("\n") + 1
    return Position(line, len(before) - (before.rfind("\n") + 1) + 1)
