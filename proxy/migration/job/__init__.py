"""The job: a YAML file that says where values are stored, and what each is bound to."""
