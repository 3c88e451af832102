"""Random and mutated messages through a live sidecar to real servers: what do they read?"""
