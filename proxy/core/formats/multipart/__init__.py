"""Multipart forms (RFC 7578)."""
