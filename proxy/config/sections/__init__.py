"""One reader for each section of the file."""
