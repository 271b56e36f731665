"""Comparisons of single-task models, methods and boosting. The face is :mod:`pipeline.comparison.compare`."""
