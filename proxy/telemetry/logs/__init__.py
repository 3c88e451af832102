"""The log: declared events, their way through structlog's processors, and where the lines go."""
