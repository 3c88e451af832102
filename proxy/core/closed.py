"""Objects that are closed: beside the members that are selected there stand only those listed.

What has another name is not selected. Where a rule says `only`, it does not pass either.
"""

from __future__ import annotations

from .blueprint import Blueprint
from .errors import ForbiddenValue
from .formats import json as json_format
from .formats.json import Findings


def refuse_others(blueprint: Blueprint, findings: Findings, body: bytes) -> None:
    """Raise ForbiddenValue for a member that is not listed, and for what is no such object.

    Of a JSON text, each value at the place of such an object is looked at once.
    """
    for index, allowed in blueprint.around.closed:
        for one in findings.found[index]:
            names = json_format.member_names(body[one.start : one.end])
            if names is None:
                raise ForbiddenValue("no-object", detail=_detail(blueprint))
            if not names <= allowed:
                raise ForbiddenValue("member-not-listed", detail=_detail(blueprint))


def _detail(blueprint: Blueprint) -> str:
    fields = dict.fromkeys(one.item.field for one in blueprint.encrypt)
    return f"The rule takes objects with {', '.join(fields)} and the members that it lists alone."
