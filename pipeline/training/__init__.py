"""Training one run or several. The face is :mod:`pipeline.training.runner`."""
