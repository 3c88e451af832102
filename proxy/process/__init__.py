"""The operating-system process: what it requires, how it is hardened, and its memory."""
