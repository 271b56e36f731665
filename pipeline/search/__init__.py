"""The trade-off search, an Optuna study of runs. The face is :mod:`pipeline.search.search`.

Other packages do without optuna.
"""
