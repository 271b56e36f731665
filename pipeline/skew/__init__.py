"""Rows that a model was asked for, against its training rows; faces: ``reference`` and ``comparison``."""
