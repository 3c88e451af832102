"""What Sealyard tells about itself: declared events, and nothing of a key or a message."""
