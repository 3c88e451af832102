"""The composition root: it builds a working sidecar from settings, and owns what it starts."""
