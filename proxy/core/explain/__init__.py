"""A plan described, or tried and discarded."""
