"""Who sends a request: tokens, certificates and headers, verified."""
