"""From a plan and its keys to a Forwardable. Nothing else makes one."""
