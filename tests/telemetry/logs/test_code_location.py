from __future__ import annotations

import pytest

from proxy.core.errors import OpenFailed
from proxy.telemetry.logs import code_location


def test_an_exception_is_named_by_its_class() -> None:
    assert code_location.name(ValueError("secret")) == "ValueError"
    assert code_location.name(OpenFailed("secret")) == "proxy.core.errors.traffic.OpenFailed"


def test_the_place_is_the_innermost_frame() -> None:
    with pytest.raises(ValueError, match="invalid") as caught:
        code_location.in_file("", int("x"))

    place = code_location.raised_at(caught.value.__traceback__)
    assert place is not None
    assert place.startswith(__name__ + ":")


def test_an_exception_that_was_never_raised_has_no_place() -> None:
    assert code_location.raised_at(None) is None


def test_a_file_is_named_without_the_machine() -> None:
    assert code_location.in_file("/somewhere/deep/aiohttp/web.py", 3) == "aiohttp/web.py:3"
