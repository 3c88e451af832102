"""What only the whole set of rules can show."""
