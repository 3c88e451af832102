"""What an index gives away, and how seldom tags meet, at full counts."""
