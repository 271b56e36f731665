"""What gradient surgery adds to a step, beside its peers: `python -m benchmarks.step`."""
