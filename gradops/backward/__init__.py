"""One backward pass for the gradients of all tasks; :mod:`gradops.backward.graph` is its face."""
