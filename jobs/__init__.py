"""The commands, one a file: parse, call pipeline, print, exit code."""
