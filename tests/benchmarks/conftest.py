"""Fixtures of the benchmarks' tests: networks are tiny and use one thread, a number that holds for the process."""

from tests.problems.conftest import _one_thread as _one_thread
