"""Checks of raw rows against the config. The face is :mod:`pipeline.validation.raw_data`."""
