"""Authentication, authorization and rate limits of the admin API."""
