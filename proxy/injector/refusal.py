"""Say no to a pod that cannot be sealed, with everything that is wrong at once."""

from __future__ import annotations

from ..core.errors import OperatorError


class CannotInject(OperatorError):
    """A pod asks for what cannot work; `problems` holds every reason, one sentence each."""

    code = "cannot-inject"
    title = "The pod cannot be given a sidecar."

    def __init__(self, *problems: str) -> None:
        """Keep the reasons. They name what stands in the pod, never a value of its environment."""
        super().__init__("cannot-inject", detail="; ".join(problems))
        self.problems = problems
