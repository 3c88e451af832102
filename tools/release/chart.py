"""Packs the chart, as `helm package` does, but with the same bytes for the same files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from .archive import write


def pack(chart: Path, folder: Path, at: int, addresses: Mapping[str, str]) -> Path:
    """Write the archive of the chart into the folder; all its times are `at`, in seconds.

    `addresses` are those of the project, by the names of `project.urls`, as far as there are any.
    """
    told = yaml.safe_load((chart / "Chart.yaml").read_text("utf-8"))
    places = {one.relative_to(chart): one for one in chart.rglob("*") if one.is_file()}
    # `ci` has values of tests.
    files = {str(x): file.read_bytes() for x, file in places.items() if x.parts[0] != "ci"}
    if "Source" in addresses:
        files["Chart.yaml"] += f"sources: [{addresses['Source']}]\n".encode()
    if "Homepage" in addresses:
        files["Chart.yaml"] += f"home: {addresses['Homepage']}\n".encode()
    if "Documentation" in addresses:
        runbooks = f'runbookUrl: "{addresses["Documentation"].rstrip("/")}/docs/runbooks"'
        files["values.yaml"] = files["values.yaml"].replace(b'runbookUrl: ""', runbooks.encode())
    return write(folder / f"{told['name']}-{told['version']}.tgz", told["name"], files, at)
