# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # Choosing a trade-off
#
# Trained together, some task often pays for another. GradOPS has one number for that, alpha: above 0 it favours
# the tasks that dominate the shared gradient, below 0 the others. This notebook trains several, shows what each
# costs which task, and chooses the one to serve.
#
# ![Trade-offs between two tasks, as the report draws them](../pictures/trade-off.png)

# %%
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl

ROWS = os.environ.get("TUTORIAL_ROWS", "100000")


def gradops(*words: str) -> str:
    """Type a command and return what it prints; a failure ends the notebook."""
    return subprocess.run([sys.executable, "-m", "jobs", *words], check=True, stdout=subprocess.PIPE, text=True).stdout


size = ("--rows", ROWS, "--days", "4", "--users", "2000", "--items", "500")
gradops("synth", "clicklog", *size, "--conflict", "1", "--out", "logs")
gradops("init", "logs", "--label", "purchase", "--label", "wish", "--yes")

# %% [markdown]
# ## Several trade-offs
#
# One result file has the AUC of every system on validation and on test rows. We choose by validation rows; the
# test rows say afterwards what to expect.

# %%
methods = ["uniform", *(f"gradops(alpha={alpha})" for alpha in (-2, 0, 2))]
quick = ("--set", "compare.boosting=false", "--epochs", "1")
gradops("compare", "logs.toml", "--methods", ",".join(methods), *quick)
(result,) = (json.loads(path.read_text()) for path in Path("runs/comparisons").glob("*.json"))

systems = pl.DataFrame(
    [
        {"system": system, **{task: figures["auc"] for task, figures in tasks.items()}}
        for system, tasks in result["metrics"]["val"].items()
    ]
)
print(systems)

# %% [markdown]
# ## Which are worth a look
#
# A system is Pareto-optimal if no other is better for one task and at least as good for all. The rest is never a
# choice.

# %%
tasks = result["tasks"]
beaten = [
    any(
        all(other[task] >= one[task] for task in tasks) and any(other[task] > one[task] for task in tasks)
        for other in systems.to_dicts()
    )
    for one in systems.to_dicts()
]
worthwhile = systems.filter(~pl.Series(beaten))
print(worthwhile)
assert set(result["front"]) <= set(systems["system"])

# %% [markdown]
# ## Your preference
#
# Say what a task is worth to you. With purchases worth three wishes, the best is the row with the highest
# weighted mean. `gradops promote logs.toml --prefer purchase=3,wish=1` does the same among the registered
# versions, and `--at-least wish=0.6` keeps a floor below a task; the version then has to pass [the
# gate](../promotion.md).

# %%
preferred = worthwhile.sort(pl.col("purchase") * 3 + pl.col("wish"), descending=True).row(0, named=True)
print(preferred["system"], "is preferred")

# %% [markdown]
# ## What to expect
#
# The test rows were not asked until now. These intervals are of each system alone; which differences the rows can
# tell, the comparison's verdicts say, by pairs of rows.

# %%
for task in tasks:
    print(task, round(result["metrics"]["test"][preferred["system"]][task]["auc"], 4))
print("\n".join(result["verdicts"]))
print(gradops("report", "logs.toml"))

# %% [markdown]
# Next: [how the intervals are made](../statistics.md), [every method](../methods.md),
# [promotion](../promotion.md).
