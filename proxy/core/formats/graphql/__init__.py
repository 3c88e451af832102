"""GraphQL requests: what the arguments of an operation are, wherever a client sends them."""
