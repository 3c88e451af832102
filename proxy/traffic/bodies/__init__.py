"""Request and response bodies between the two sides."""
