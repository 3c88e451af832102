"""The small languages of a rule: selectors, sources, route patterns, names."""
