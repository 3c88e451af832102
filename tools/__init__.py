"""Tools beside the product: benchmark, outages, fuzzing, soak, scorecard, release, image."""
