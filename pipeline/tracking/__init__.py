"""The record of runs in MLflow, also while its server is away. The face is :mod:`pipeline.tracking.tracker`."""
