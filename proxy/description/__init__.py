"""OpenAPI descriptions: what they mark in the messages of a backend, and rules for it."""
