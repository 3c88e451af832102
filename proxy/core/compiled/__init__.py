"""Rules made ready to run."""
