"""What each outage of Redis costs, measured at a real `sealyard serve` under a steady load."""
