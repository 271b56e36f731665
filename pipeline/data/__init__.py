"""Prepared data: written by the face :mod:`pipeline.data.prepare`, read as batches."""
