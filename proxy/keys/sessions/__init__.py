"""Session keys: sealing, opening, agreement and revocation state."""
