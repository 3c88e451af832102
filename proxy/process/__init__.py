"""The process as such: what it needs of its machine, and how it closes itself off."""
