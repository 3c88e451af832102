"""The scorecard: what is promised, measured."""
