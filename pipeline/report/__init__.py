"""One HTML page of a comparison or a search. The face is :mod:`pipeline.report.report`."""
