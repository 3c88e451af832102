"""End to end: session keys that leave the sender only in key packages for their recipients."""
