"""WebSockets on routes with rules: two legs, and messages that are read between them."""
