"""Logs, metrics, traces and the tap: declared events, never a key or the content of a message."""
