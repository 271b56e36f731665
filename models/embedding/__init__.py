"""Embedding tables and the cut at their output; :mod:`models.embedding.base` is what every embedding offers."""
