"""Checks that need the whole set of rules."""
