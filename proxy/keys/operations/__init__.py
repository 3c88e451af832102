"""What operators and services may ask of keys."""
