"""What a stored value is, and what a verb makes of it. No database and no file."""
