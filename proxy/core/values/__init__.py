"""The engine: values as flat arrays, the keys that they need, and what takes their place."""
