"""Metrics of scores, multi-task measures, intervals and Pareto fronts; numpy, scipy and polars only.

Code outside of this project imports the two names that the package re-exports.
"""

from pipeline.evaluation.multitask import delta_m_pct, mean_rank

__all__ = ["delta_m_pct", "mean_rank"]
