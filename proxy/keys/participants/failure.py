"""The one error that participants' keys raise; met by operators, never on the traffic port."""

from __future__ import annotations

from ...core.errors import OperatorError


class ParticipantError(OperatorError):
    """A participant's key cannot be taken, found, opened or changed as asked."""

    code = "participant-error"
    title = "The participant's key cannot be used."
