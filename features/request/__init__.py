"""Encoding of requests by numpy alone: few rows, no query to plan. The face is :mod:`features.request.encoder`."""
