"""All verbs by name. A verb is added in its family, a family here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .participant_verbs import PARTICIPANTS
from .session_verbs import SESSIONS
from .value_verbs import VALUES
from .verb import Verb

VERBS: Final[Mapping[str, Verb]] = {one.name: one for one in (*SESSIONS, *PARTICIPANTS, *VALUES)}
