"""Measurements of Sealyard, run by `./dev bench`."""
