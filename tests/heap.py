"""`-p tests.heap`: the garbage collector passes over what pytest holds of all the tests.

A walk of it takes half a second in CI, and each test that leaves many objects is a reason for one.
"""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """Set apart what is there before the first test."""
    gc.collect()
    gc.freeze()
