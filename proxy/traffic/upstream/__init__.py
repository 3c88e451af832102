"""The HTTP client of the upstream, and its connection pool."""
