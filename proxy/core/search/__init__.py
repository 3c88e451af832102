"""Search on sealed fields: words and normal forms of values, and the tags that stand for them."""
