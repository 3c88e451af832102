"""What a request of GraphQL consists of, for those who look at it before they read it."""

from __future__ import annotations

from typing import Final

MEMBERS: Final = ("query", "operationName", "variables", "extensions", "documentId")
"""Its members; servers read some of them from the query of the address as well."""
BLANK: Final = b" \t\r\n"
"""White space of JSON."""
