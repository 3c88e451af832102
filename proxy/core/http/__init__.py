"""HTTP as values: heads, the canonical path, content codings, digests, cache directives."""
