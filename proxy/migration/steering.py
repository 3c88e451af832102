"""What is told to a run from elsewhere: to pause, or to stop, by a word in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from ..core.errors import MigrationFailed
from ..keys import private_file

Word = Literal["pause", "stop"]
_STOP: Final = "stop"


class Steering:
    """Reads and writes the word for the runs of one job; without a file there is none."""

    def __init__(self, path: Path | None = None) -> None:
        """Take the path; nothing is read yet."""
        self._path = path

    def begin(self) -> None:
        """Forget a stop that was of an earlier run; a pause holds until somebody ends it."""
        if self._read() == _STOP:
            self.tell(None)

    def asked(self) -> str:
        """Return why the run is to wait, if it is; raise MigrationFailed where it is to stop."""
        said = self._read()
        if said == _STOP:
            self.tell(None)
            raise MigrationFailed("stopped", detail="somebody told it to; run it again to go on")
        return "somebody told it to pause" if said else ""

    def tell(self, word: Word | None) -> None:
        """Tell runs a word, or to go on. Raises KeyringError where the file cannot be written."""
        if self._path is None:
            return
        if word is None:
            self._path.unlink(missing_ok=True)
        else:
            private_file.write(self._path, f"{word}\n".encode())

    def _read(self) -> str:
        try:
            return "" if self._path is None else self._path.read_text("utf-8").strip()
        except FileNotFoundError:
            return ""
