"""The scheduled job. The face is :mod:`pipeline.daily.job`."""
