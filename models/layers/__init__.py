"""Layers that several architectures are made of, one idea a file."""
