"""What structlog asks for, and an installation lacks."""

raise ImportError
