"""The configuration: a YAML file read into settings, or every mistake in it at once."""
