"""Atomic writes, a user's Parquet files, the days in their paths, and redaction; independent of models and tasks."""
