"""Makes a release: distributions, chart, image, and what says what is in them."""
