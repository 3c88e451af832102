"""The options of each kind of root that has more than a secret; root_kinds.py lists the kinds."""
