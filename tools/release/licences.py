"""Lists the licences of all distributions of an environment: `licences.py` prints them.

Runs in the environment where a release is installed, with the standard library alone. Exits with 1,
naming it, for a distribution whose licence is unknown or not one of ACCEPTED.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, distributions

ACCEPTED = frozenset(
    {
        *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0"),
        *("MPL-2.0", "PSF-2.0"),
    }
)
SPELLINGS = {
    "Apache 2.0": "Apache-2.0",
    "MIT License": "MIT",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
}
"""Other ways in which distributions write a licence, and its SPDX identifier."""


def licence(one: Distribution) -> str:
    """Return the SPDX expression of a distribution, or `unknown`."""
    told = one.metadata
    texts: list[str] = [
        text
        for name in ("License-Expression", "License", "Classifier")
        for text in told.get_all(name) or ()
    ]
    for text in texts:
        found = SPELLINGS.get(text, text)
        if set(re.split(r" (?:AND|OR|WITH) ", found.strip("()"))) <= ACCEPTED:
            return found
    return "unknown"


def main() -> int:
    """Print a line for each distribution; return the exit status."""
    rows = sorted((one.name.lower(), one.version, licence(one)) for one in distributions())
    for name, version, found in rows:
        print(f"{name:<24} {version:<12} {found}")  # noqa: T201 - the result
    unknown = [name for name, _, found in rows if found == "unknown"]
    if unknown:
        print(f"licence unknown or not accepted: {', '.join(unknown)}", file=sys.stderr)  # noqa: T201
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
