"""The table of metrics, its samples and their exposition."""
