"""Keys: the keyring and its file, root providers, session keys, and the store of their records."""
