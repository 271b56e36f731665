"""What to run first on a machine with a GPU: ``make gpu``."""
