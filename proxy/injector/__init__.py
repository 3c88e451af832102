"""Injection: a pod goes in, the same pod with its sidecar comes out."""
