"""Write what is in this place as CycloneDX 1.6: Python's packages, crates in them, and Debian's.

Runs in the image while it is built, `sbom.py container VERSION`, and in the environment that a
release is installed in, `sbom.py application VERSION`, without Debian's packages. The document has
no timestamp and no serial number, so that the same content is the same document.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from typing import Any
from urllib.parse import quote


def python_packages() -> Iterator[dict[str, Any]]:
    """Yield the distributions of the environment that runs this."""
    for one in sorted(distributions(), key=lambda each: each.name.lower()):
        name = one.name.lower().replace("_", "-")
        licence = one.metadata.json.get("license_expression")
        yield {
            "type": "library",
            "name": name,
            "version": one.version,
            "purl": f"pkg:pypi/{quote(name)}@{quote(one.version)}",
            **({"licenses": [{"expression": licence}]} if licence else {}),
        }


def crates() -> Iterator[dict[str, Any]]:
    """Yield the Rust crates that are linked into those distributions, as they state (PEP 770)."""
    kept = ("type", "name", "version", "purl", "licenses")
    for one in distributions():
        for file in one.files or ():
            if "sboms" in file.parts and file.name.endswith(".cyclonedx.json"):
                for crate in json.loads(file.read_text(encoding="utf-8"))["components"]:
                    if crate.get("scope") != "excluded":  # those only build it
                        yield {key: crate[key] for key in kept if key in crate}


def debian_packages() -> Iterator[dict[str, Any]]:
    """Yield the packages that dpkg knows; none where there is no dpkg."""
    query = shutil.which("dpkg-query")
    if query is None:
        return
    line = "${binary:Package}\\t${Version}\\t${Architecture}\\t${db:Status-Abbrev}\\n"
    told = subprocess.run([query, "-W", "-f", line], capture_output=True, text=True, check=True)  # noqa: S603 - found above
    for row in told.stdout.splitlines():
        name, version, architecture, status = row.split("\t")
        if not status.startswith("ii"):
            continue
        name = name.partition(":")[0]
        yield {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}",
        }


def document(kind: str, version: str) -> dict[str, Any]:
    """Return the whole document; `kind` is `container` or `application`."""
    debian = debian_packages() if kind == "container" else ()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": kind,
                "name": "sealyard",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [*python_packages(), *crates(), *debian],
    }


if __name__ == "__main__":
    print(json.dumps(document(sys.argv[1], sys.argv[2]), indent=1))  # noqa: T201 - the result
