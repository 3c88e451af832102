"""Listeners with their rules, and the whole file, put together from their sections."""
