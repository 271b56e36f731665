"""Single-task models, every method and boosting side by side. The face is :mod:`pipeline.comparison.compare`."""
