"""Where rows are read from and written to: streams and databases, each by one small protocol."""
