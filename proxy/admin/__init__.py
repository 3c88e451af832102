"""The admin API and the health listener: on their own ports, never on that of the traffic."""
