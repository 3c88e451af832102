"""The pure heart: no I/O, no clock, no event loop; values in, values out."""
