"""Bodies of many records: JSON lines, event streams, Socket.IO packets."""
