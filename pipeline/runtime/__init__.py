"""Signals, prefetching, package versions, and the executors: threads or a Ray cluster."""
