"""Methods of other libraries and papers under other names: what they are here, or why they are not built."""

from __future__ import annotations

SAME: dict[str, str] = {
    "equal_weighting": "uniform",
    "sum": "uniform",
    "constant": "static",
    "random": "rlw",
    "nash_mtl": "fairgrad(alpha=1, max_norm=1)",
    "config": "imtl_g(length='sum')",
    "imtl_l": "uncertainty(loss='imtl')",
    "uw": "uncertainty",
    "si": "log_loss",
    "gls": "log_loss(common='geometric_mean')",
    "geometric_mean": "log_loss(common='geometric_mean')",
    "gem": "dualproj",
    "cr_mogm": "... + smooth(0.9)",
}
"""The written form here of a method's usual name elsewhere."""

REFUSED: dict[str, str] = {
    "moco": "it averages each task's gradient over the steps: T copies of everything shared, tables included, which "
    "are neither sparse nor sharded as one batch's gradients are (Fernando et al., ICLR 2023)",
    "modo": "its weights follow the products of two batches' gradients, and its update a third's: three times the "
    "passes of an exact step, for an unbiased estimate (Chen et al., NeurIPS 2023)",
    "sdmgrad": "its weights follow the products of two independent batches' gradients: twice the passes of an exact "
    "step (Xiao et al., NeurIPS 2023)",
    "excessmtl": "it sums the squares of every entry of every task's gradient: T more copies of everything shared, and "
    "weights that are no function of the Gram matrix (He et al., ICML 2024)",
    "krum": "it is a defence against workers that lie, and leaves out whole tasks (Blanchard et al., NeurIPS 2017)",
    "trimmed_mean": "it is a defence against workers that lie, and sorts every entry (Yin et al., ICML 2018)",
}
"""Methods that are not built, each with the reason."""

REFUSED_OPTIONS: dict[tuple[str, str], str] = {
    ("db_mtl", "beta"): "it averages each task's gradient over the steps: T copies of everything shared, whose update "
    "moves every row of a table that an earlier batch has read, where a step has one gradient for the rows of its "
    "own batch, which fused and sharded tables apply; `+ smooth(0.9)` averages the weights instead",
}
"""Options that a method's paper has and ours has not, by the method's name and theirs, each with the reason."""

ELSEWHERE: dict[str, str] = {
    **{name: f"which is `{here}` here" for name, here in SAME.items()},
    **{name: f"which is not built: {reason}" for name, reason in REFUSED.items()},
}
"""What to say of a name that no method has here."""
