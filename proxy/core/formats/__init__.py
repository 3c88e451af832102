"""Body formats: each finds the places of selected values; none re-emits a body."""
