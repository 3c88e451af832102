"""A worker as its supervisor sees it."""
