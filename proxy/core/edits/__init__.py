"""What can be done to a span, a part, a head or a stream."""
