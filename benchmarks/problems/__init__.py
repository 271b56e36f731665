"""The small problems of the papers, one a file: what is minimised, and a function that runs it."""
