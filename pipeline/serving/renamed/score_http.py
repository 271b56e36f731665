"""The old name of :mod:`pipeline.serving.http_server`."""

from pipeline.serving.http_server import answer_requests

__all__ = ["answer_requests"]
