"""The traffic port: where messages arrive, are decided upon, and are forwarded or refused."""
