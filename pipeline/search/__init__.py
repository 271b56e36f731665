"""The trade-off search: an Optuna study of runs. The only package that imports optuna."""
