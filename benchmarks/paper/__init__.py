"""The GradOPS paper's own table on Census-income, run by run: `python -m benchmarks.paper`."""
