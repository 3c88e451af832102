"""GraphQL requests: what the arguments of an operation are, wherever a client sends them."""

from typing import Final

MEMBERS: Final = ("query", "operationName", "variables", "extensions", "documentId")
"""The members of a request; servers read some of them from the query of the address as well."""
BLANK: Final = b" \t\r\n"
"""White space of JSON."""
