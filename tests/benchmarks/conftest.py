"""Tiny networks, one thread, as the problems' tests have it: the command sets the number for the whole process."""

from tests.problems.conftest import _one_thread as _one_thread
