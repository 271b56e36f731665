"""Embedding tables and the cut at their output; :mod:`models.embedding.base` is the interface of every embedding."""
