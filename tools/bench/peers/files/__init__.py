"""Configurations and extensions of the peers, as they run there."""
