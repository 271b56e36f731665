"""The kinds of tasks, one file each: each defines a label and its computation. The only kind is :mod:`binary`."""
