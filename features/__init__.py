"""The meaning of columns: the declared table, its contract and its fitted encoding, as expressions of Polars.

:mod:`features.request` encodes a request's few rows the same way by numpy alone.
"""
