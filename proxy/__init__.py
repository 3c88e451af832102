"""Sealyard: a sidecar that seals and opens message fields on their way through."""

__version__ = "1.0.0rc1"
