"""The kinds of tasks, one file each: what a label is and how it is computed. The only one is :mod:`binary`."""
