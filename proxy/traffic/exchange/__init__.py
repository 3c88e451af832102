"""The path of one message, on every lane."""
