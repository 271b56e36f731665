"""Runs in MLflow, whether its server is there or not. The face is :mod:`pipeline.tracking.tracker`."""
