"""Rules as the configuration states them."""
