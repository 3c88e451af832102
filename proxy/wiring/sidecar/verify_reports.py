"""What the last reports of `sealyard migrate verify` counted, for the metrics."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ...core.crypto.secret import RecordKey
from ...migration.report import SignedReport, verified
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Samples
from ..policy import REPORT_BYTES


class _Read(NamedTuple):
    """A report as it was read; `changed` and `size` tell whether the file is another one now."""

    changed: int
    size: int
    key: RecordKey
    report: SignedReport | None


class VerifyReports:
    """Reads reports anew when their files have changed."""

    def __init__(self) -> None:
        """Read nothing yet."""
        self._held: dict[Path, _Read] = {}

    def count(self, files: Sequence[Path], key: RecordKey, samples: Samples) -> None:
        """Add what the reports counted that the holder of this key signed."""
        if not files:
            return
        began: list[int] = []
        values: Counter[tuple[str, str]] = Counter()
        for file in files:
            report = self._report(file, key)
            began.append(0 if report is None else report.began)
            for one in report.tally.values if report is not None else ():
                values[one.label, one.outcome.state] += one.values
        samples.add(table.VERIFY_AT, min(began))
        for labels, count in values.items():
            samples.add(table.VERIFY_VALUES, count, labels=labels)

    def _report(self, file: Path, key: RecordKey) -> SignedReport | None:
        try:
            found = file.stat()
            held = self._held.get(file)
            if held is None or held[:2] != (found.st_mtime_ns, found.st_size) or held.key != key:
                report = _verified(file, key) if stat.S_ISREG(found.st_mode) else None
                held = _Read(found.st_mtime_ns, found.st_size, key, report)
                self._held[file] = held
        except OSError:
            return None
        return held.report


def _verified(file: Path, key: RecordKey) -> SignedReport | None:
    with file.open("rb") as opened:
        report = verified(opened.read(REPORT_BYTES), key)
    return report if report is not None and report.verb == "verify" else None
