"""Atomic writes, a user's Parquet files, the days in their paths, and redaction. Knows no model and no task."""
