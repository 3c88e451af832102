"""From a message and a block to a plan: its edits, and the keys that they need."""
