"""What the admin API is wired to."""
