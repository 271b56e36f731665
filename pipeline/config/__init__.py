"""One TOML file is one run; a file for each of its sections. The face is :mod:`pipeline.config.toml`."""
