"""The keyring: its KEKs, its file, its envelope and its root providers."""
