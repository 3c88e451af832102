"""The tables of keys. The loader, the JSON Schema and the reference read them."""
