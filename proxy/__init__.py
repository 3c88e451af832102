"""Sealyard: a sidecar that seals and opens message fields on their way through."""

__version__ = "0.1.0"
