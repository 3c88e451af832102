"""HTTP/1.1 as bytes: framing, heads, hop-by-hop headers. No socket."""
