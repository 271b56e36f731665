"""Raw rows against what the config declares. The face is :mod:`pipeline.validation.raw_data`."""
