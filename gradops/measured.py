"""What we measured of each method with its default options, for the table of `gradops methods`.

`python -m benchmarks.measured` prints the lines from the result files, and a test compares them.
"""

from __future__ import annotations

MEASURED: dict[str, str] = {
    "cagrad": "-0.5 [-1.9, +1.0], 5 seeds",
    "dw": "+0.1 [-1.3, +1.4], 5 seeds",
    "graddrop": "-0.1 [-1.4, +1.3], 5 seeds",
    "gradnorm": "-2.5 [-5.5, +0.5], 5 seeds",
    "gradops": "-0.3 [-1.6, +1.1], 5 seeds",
    "gradvac": "-0.1 [-1.4, +1.3], 5 seeds",
    "imtl_g": "-0.2 [-1.7, +1.2], 5 seeds",
    "mgda": "-0.7 [-2.3, +0.9], 5 seeds",
    "mgda_ub": "-4.0 [-6.9, -1.2]▼, 5 seeds",
    "pcgrad": "+0.0 [-1.3, +1.4], 5 seeds",
    "pcgrad_dw": "-0.2 [-1.5, +1.2], 5 seeds",
    "rotograd": "-1.0 [-2.4, +0.5], 5 seeds",
    "rotograd_coop": "+0.5 [-1.2, +2.1], 5 seeds",
    "rotograd_r": "-0.3 [-1.8, +1.1], 5 seeds",
    "rotograd_scale": "-1.1 [-2.6, +0.4], 5 seeds",
    "rotograd_v1": "+0.8 [-0.7, +2.3], 5 seeds",
}
"""Method to the mean test AUC of the three tasks of Census-income less that of uniform scaling, in units of 0.0001."""
