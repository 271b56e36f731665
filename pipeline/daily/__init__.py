"""The scheduled job, `gradops daily`. The face is :mod:`pipeline.daily.job`."""
