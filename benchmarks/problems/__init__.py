"""The small problems of the papers, one a file: each has the losses to minimise and a function that runs it."""
