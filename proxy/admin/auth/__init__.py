"""Who calls the admin API, what they may do, and how often."""
