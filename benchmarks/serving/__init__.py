"""The cost of serving: `python -m benchmarks.serving`."""
