"""The served model. The face is :mod:`pipeline.serving.scorer`."""
