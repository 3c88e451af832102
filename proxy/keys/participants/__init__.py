"""Participants: parties with key pairs of their own, and what the store keeps of them."""
