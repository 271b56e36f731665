"""What several ranks cost: ``python -m benchmarks.ranks``."""
