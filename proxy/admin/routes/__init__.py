"""The operations of the admin API, and their table."""
