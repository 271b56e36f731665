# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # From your own log to a served model
#
# This notebook takes a log of clicks through every step: a config drafted from the files, a comparison of
# methods, a registered model, its scores over HTTP. Run it in an empty folder; `jupytext --to ipynb own_log.py`
# makes a notebook of it.
#
# The log is made up here, so that its best possible AUC is known. To take your own instead, leave the next cell
# out and give the path of your files: Parquet as they are, CSV and JSON lines after `gradops import clicks.csv
# logs`.

# %%
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import polars as pl

ROWS = os.environ.get("TUTORIAL_ROWS", "100000")
PORT = os.environ.get("TUTORIAL_PORT", "8080")


def gradops(*words: str) -> None:
    """Type a command; a failure ends the notebook."""
    subprocess.run([sys.executable, "-m", "jobs", *words], check=True)


gradops("synth", "clicklog", "--rows", ROWS, "--days", "4", "--users", "2000", "--items", "500", "--out", "logs")

# %% [markdown]
# ## A config, drafted from the files
#
# `init` reads the schema and a sample and writes `logs.toml`: kinds of features, the split by time, columns that
# are left out since they identify a row or tell a label. Each choice has its evidence in a comment. A column that
# is named like something that came of the click is left out until you say that it was known before.

# %%
gradops("init", "logs", "--label", "purchase", "--label", "cart", "--label", "wish", "--yes")
print("\n".join(Path("logs.toml").read_text().splitlines()[:40]))

# %% [markdown]
# ## One model a task, then all tasks together
#
# `compare` prepares the rows, trains one network a task, then one network for all tasks by each method. It
# registers the best as versions of one model. `search --budget 30m` would try networks and rates, too.
#
# Δm% is the mean change of AUC against the networks of one task: the gain of training together. The report opens with
# that in plain language, then shows the trade-offs:
#
# ![A report: the summary, the trade-offs between pairs of tasks, and the table of figures](../pictures/report.png)

# %%
quick = ("--set", "compare.boosting=false", "--epochs", "1")
gradops("compare", "logs.toml", "--methods", "uniform,gradops(alpha=-1)", *quick)
gradops("report", "logs.toml")
print(next(Path("runs/comparisons").glob("*.html")))

# %% [markdown]
# ## Served over HTTP
#
# A server takes rows as the log has them; the model's folder holds the encoder that was fitted on the training
# rows. `balanced` is the alias of the version with the best mean. `champion` would be the version that has passed
# the gate, which asks for some hundred positives of each task among the test rows.

# %%
row = pl.scan_parquet("logs/**/*.parquet").drop("purchase", "cart", "wish").head(1).collect()
body = json.dumps({"dataframe_records": row.to_dicts()}, default=lambda value: value.isoformat()).encode()
address, kind = f"http://127.0.0.1:{PORT}/invocations", {"Content-Type": "application/json"}
serve = [sys.executable, "-m", "jobs", "serve", "models:/logs@balanced", "--port", PORT]
with subprocess.Popen(serve) as server:
    try:
        for _ in range(240):
            try:
                with urllib.request.urlopen(urllib.request.Request(address, body, kind), timeout=10) as answer:
                    print(json.loads(answer.read()))
                break
            except urllib.error.HTTPError:
                raise
            except urllib.error.URLError:  # it is not up yet
                assert server.poll() is None, "the server has ended"
                time.sleep(1)
        else:
            raise TimeoutError("the server did not answer")
    finally:
        server.terminate()

# %% [markdown]
# Next: [what each column is worth](../your-own-data.md), [the gate and the champion](../promotion.md), [every key
# of the config](../config.md).
