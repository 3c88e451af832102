"""A soak: mixed traffic for hours, with faults of every kind at random, and an oracle over all."""
