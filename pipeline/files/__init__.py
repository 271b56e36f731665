"""Atomic writes, Parquet files that a user points at, the days in their paths, and redaction; no model, no task."""
