"""What we measured of each method with its default options, for the table of `gradops methods`.

`python -m benchmarks.measured` prints the lines from the result files, and a test compares them.
"""

from __future__ import annotations

MEASURED: dict[str, str] = {
    "aligned_mtl": "+0.4 [-1.6, +2.4], 1 seed",
    "autoscale": "+0.7 [-0.4, +1.8], 1 seed",
    "cagrad": "-0.5 [-1.9, +1.0], 5 seeds",
    "db_mtl": "+0.9 [-1.3, +3.1], 1 seed",
    "dualproj": "+0.1 [-1.0, +1.3], 1 seed",
    "dw": "+0.1 [-1.3, +1.4], 5 seeds",
    "dwa": "-0.0 [-0.3, +0.3], 1 seed",
    "fairgrad": "+1.7 [-0.7, +4.1], 1 seed",
    "famo": "-1.2 [-3.3, +1.0], 1 seed",
    "go4align": "-4.9 [-7.7, -2.0]▼, 1 seed",
    "gradcraft": "-1.0 [-3.0, +1.1], 1 seed",
    "graddrop": "-0.1 [-1.4, +1.3], 5 seeds",
    "gradnorm": "-2.5 [-5.5, +0.5], 5 seeds",
    "gradops": "-0.3 [-1.6, +1.1], 5 seeds",
    "gradops_static": "+0.9 [-0.6, +2.5], 1 seed",
    "gradvac": "-0.1 [-1.4, +1.3], 5 seeds",
    "imtl_g": "-0.2 [-1.7, +1.2], 5 seeds",
    "log_loss": "-3.4 [-6.2, -0.5]▼, 1 seed",
    "mgda": "-0.7 [-2.3, +0.9], 5 seeds",
    "mgda_ub": "-4.0 [-6.9, -1.2]▼, 5 seeds",
    "pcd": "-20.9 [-26.5, -15.2]▼, 1 seed",
    "pcgrad": "+0.0 [-1.3, +1.4], 5 seeds",
    "pcgrad_dw": "-0.2 [-1.5, +1.2], 5 seeds",
    "pe_ltr": "+0.3 [-1.8, +2.4], 1 seed",
    "rlw": "-3.2 [-5.5, -0.8]▼, 1 seed",
    "rotograd": "-1.0 [-2.4, +0.5], 5 seeds",
    "rotograd_coop": "+0.5 [-1.2, +2.1], 5 seeds",
    "rotograd_r": "-0.3 [-1.8, +1.1], 5 seeds",
    "rotograd_scale": "-1.1 [-2.6, +0.4], 5 seeds",
    "rotograd_v1": "+0.8 [-0.7, +2.3], 5 seeds",
    "static": "+0.0 [+0.0, +0.0], 1 seed",
    "stch": "-3.4 [-6.2, -0.5]▼, 1 seed",
    "uncertainty": "-0.6 [-3.3, +2.1], 1 seed",
    "upgrad": "+0.8 [-0.7, +2.2], 1 seed",
}
"""Method to the mean test AUC of the three tasks of Census-income less that of uniform scaling, in units of 0.0001."""
