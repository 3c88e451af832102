"""Readers of rules, and their resolution into rules of the core."""
