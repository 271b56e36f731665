"""What each feature is worth to each task of a served model. The face is :mod:`pipeline.explanation.explain`."""
