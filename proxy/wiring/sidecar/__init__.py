"""One process that carries traffic."""
