"""The demo: a chat backend, the sidecar in front of it, and what each of them sees."""
