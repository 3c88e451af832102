"""Overload: what a proxy still delivers when more is asked of it than it or its backend can do."""
