"""The listeners of the admin API, and the service behind it."""
