"""Fuzzing: what the pure parts must hold on any bytes, and two engines that look for such bytes."""
