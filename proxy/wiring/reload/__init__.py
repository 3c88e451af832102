"""Configuration files, what they are made into, and reload."""
