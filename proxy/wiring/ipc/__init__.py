"""Inter-process communication between a supervisor and its workers."""
