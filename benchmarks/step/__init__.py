"""The cost of gradient surgery in a step, compared with other implementations: `python -m benchmarks.step`."""
