"""Signals, work done ahead, and the executors: threads or a Ray cluster."""
