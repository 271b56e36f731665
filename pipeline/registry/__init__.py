"""Registered models. The faces are :mod:`pipeline.registry.register` and :mod:`pipeline.registry.promotion`."""
