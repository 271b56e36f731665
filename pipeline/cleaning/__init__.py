"""The removal of files that nothing needs any more. The face is :mod:`pipeline.cleaning.clean`."""
