"""Key material, AEAD, derivation, and the wire forms. No rule and no HTTP."""
