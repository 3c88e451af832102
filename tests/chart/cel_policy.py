"""Evaluate a ValidatingAdmissionPolicy: `python cel_policy.py`, run by the Python of `.venv-k8s`.

Reads {"spec": ..., "reviews": [...]} from stdin, and writes for each review the messages of
what it breaks. A condition that does not hold breaks nothing, and an error is told as an API server
with failurePolicy Fail would. Functions of strings and lists that Kubernetes adds to CEL are added.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from cel import Context, evaluate

_ADDED = {
    "split": lambda text, mark: text.split(mark),
    "replace": lambda text, old, new: text.replace(old, new),
    "join": lambda words, mark: mark.join(words),
    "substring": lambda text, start: text[start:],
    "indexOf": lambda words, one: words.index(one) if one in words else -1,
}


def broken(spec: dict[str, Any], review: dict[str, Any]) -> list[str]:
    """Return what a review breaks of a policy."""
    known: dict[str, Any] = {}

    def result(expression: str) -> Any:  # noqa: ANN401 - of CEL
        context = Context(variables={**review, "variables": known})
        for name, function in _ADDED.items():
            context.add_function(name, function)
        return evaluate(expression, context)

    try:
        if not all(result(one["expression"]) for one in spec.get("matchConditions", [])):
            return []
        for one in spec.get("variables", []):
            known[one["name"]] = result(one["expression"])
        return [
            one["message"] for one in spec["validations"] if result(one["expression"]) is not True
        ]
    except (RuntimeError, TypeError, ValueError) as error:
        return [f"error: {error}"]


if __name__ == "__main__":
    given = json.load(sys.stdin)
    json.dump([broken(given["spec"], one) for one in given["reviews"]], sys.stdout)
