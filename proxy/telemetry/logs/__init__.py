"""Log events: their table, their lines, the sink and the scrubber."""
