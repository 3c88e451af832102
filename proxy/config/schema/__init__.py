"""The JSON Schema and the reference page, made from the declarations of keys."""
