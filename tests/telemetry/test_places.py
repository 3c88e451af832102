from __future__ import annotations

import pytest

from proxy.core.errors import OpenFailed
from proxy.telemetry import places


def test_an_exception_is_named_by_its_class() -> None:
    assert places.name(ValueError("secret")) == "ValueError"
    assert places.name(OpenFailed("secret")) == "proxy.core.errors.OpenFailed"


def test_the_place_is_the_innermost_frame() -> None:
    with pytest.raises(ValueError, match="invalid") as caught:
        places.in_file("", int("x"))

    place = places.raised_at(caught.value.__traceback__)
    assert place is not None
    assert place.startswith(__name__ + ":")


def test_an_exception_that_was_never_raised_has_no_place() -> None:
    assert places.raised_at(None) is None


def test_a_file_is_named_without_the_machine() -> None:
    assert places.in_file("/somewhere/deep/aiohttp/web.py", 3) == "aiohttp/web.py:3"
