"""What a migration costs, and what it leaves: in real databases, beside a writer, under kills."""
