"""The operating-system process: what it requires, how it is hardened, its memory, its breakers."""
