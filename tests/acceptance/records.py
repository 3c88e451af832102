"""What a run of acceptance found at a backend, as a file of `records`, and the table of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path("tests") / "acceptance" / "records"


@dataclass(frozen=True)
class Record:
    """The outcome of one client at one backend.

    `places` are the files and answers that were searched; `plaintext_*` says in how many of them
    the text of the client was found, without Sealyard and with it.
    """

    backend: str
    checks: int
    passed_without: int
    passed_with: int
    places: int
    plaintext_without: int
    plaintext_with: int

    def write(self, root: Path) -> None:
        folder = root / FOLDER
        folder.mkdir(exist_ok=True)
        file = folder / f"{self.backend}.json"
        file.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
