"""Metrics of scores, multi-task measures, intervals and Pareto fronts; numpy, scipy and polars only."""
