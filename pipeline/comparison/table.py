"""A comparison's table and its files: figures and intervals as JSON, the table as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pipeline.comparison.candidates import pareto_optimal
from pipeline.comparison.comparison import Comparison, Row
from pipeline.comparison.confidence import BETTER, WORSE, Interval
from pipeline.comparison.gauc import gauc_columns, gauc_rows, gauc_title
from pipeline.comparison.result_file import ComparisonFile, now
from pipeline.comparison.serving_cost import ROWS, ServingCost
from pipeline.files.atomic import atomic
from pipeline.runtime.versions import result_versions

_BLANK = "\u2007"  # as wide as a mark, so that figures stay aligned


def comparison_file(
    comparison: Comparison, verdicts: Sequence[str] = (), serving: Mapping[str, ServingCost] = MappingProxyType({})
) -> ComparisonFile:
    """A finished comparison's results. Arguments as in :func:`save_comparison`."""
    config = comparison.config
    return ComparisonFile(
        kind="comparison",
        name=config.name,
        data=comparison.prepared.fingerprint,
        config=config.model_dump(mode="json"),
        versions=result_versions(),
        tasks=list(config.tasks),
        seeds=list(comparison.seeds),
        fingerprint=comparison.fingerprint,
        made_at=now(),
        rows=comparison.prepared.rows,
        labels=comparison.findings.labels,
        features=comparison.prepared.features,
        metrics=comparison.findings.metrics,
        val=comparison.table("val"),
        test=comparison.table("test"),
        intervals=comparison.confidence.intervals,
        notes=table_notes(comparison),
        verdicts=list(verdicts),
        front=[one.system for one in pareto_optimal(comparison)],
        runs={system: [run.fingerprint for run in runs] for system, runs in comparison.systems.items()},
        **({"serving": dict(serving)} if serving else {}),
    )


def save_comparison(
    comparison: Comparison, verdicts: Sequence[str] = (), serving: Mapping[str, ServingCost] = MappingProxyType({})
) -> None:
    """Write a finished comparison's results as JSON and, beside it, its table as Markdown.

    Args:
        comparison: The comparison.
        verdicts: Sentences that readers should know before the figures.
        serving: System of each registered version to what it costs to serve.
    """
    comparison_file(comparison, verdicts, serving).save(comparison.path)
    with atomic(comparison.path.with_suffix(".md")) as draft:
        draft.write_text(_comparison_markdown(comparison, verdicts, serving))


def table_columns(comparison: Comparison) -> list[str]:
    """The headings of the table's columns."""
    return ["system", *comparison.config.tasks, "average", "Δm% (drop)", "Mean Rank"]


def table_cells(comparison: Comparison, row: Row) -> list[str]:
    """A row's figures as text, each AUC with a mark where it differs significantly from the baseline's."""
    against = comparison.confidence.against(comparison.baseline)

    def marked(text: str, task: str | None) -> str:
        interval = against.get((row.system, task))
        return text + ((interval and interval.mark) or _BLANK)

    spreads = row.deviation or {}
    aucs = [
        marked(f"{auc:.4f}" + (f" ± {spreads[task]:.4f}" if spreads else ""), task) for task, auc in row.auc.items()
    ]
    rank = "-" if row.mean_rank is None else f"{row.mean_rank:.2f}"
    return [row.system, *aucs, marked(f"{row.average:.4f}", None), f"{row.delta_m_pct:+.2f}", rank]


def table_title(comparison: Comparison) -> str:
    """The table's title: name, split and seeds."""
    seeds = comparison.seeds
    spread = f", mean ± sd of {len(seeds)} seeds" if len(seeds) > 1 else f", seed {seeds[0]}"
    return f"{comparison.config.name}: test AUC{spread}"


def table_notes(comparison: Comparison, ties: str = "average") -> list[str]:
    """Sentences that explain the table."""
    rule = f"significantly better or worse than `{comparison.baseline}` on this test set"
    marks = f"{BETTER}/{WORSE}: {rule} ({comparison.confidence.note})."
    measures = f"Δm%: mean relative drop against `single-task`, lower is better. Mean Rank: 1 is best, ties: {ties}."
    return [measures, marks, *comparison.remarks]


def _comparison_markdown(comparison: Comparison, verdicts: Sequence[str], serving: Mapping[str, ServingCost]) -> str:
    """The verdicts, the table, then a table of intervals for each baseline and of costs, then the notes."""
    lines = [
        f"# {table_title(comparison)}",
        "",
        *(line for verdict in verdicts[:1] for line in (f"**{verdict}**", "")),
        *(f"- {verdict}" for verdict in verdicts[1:]),
        *([""] if verdicts[1:] else []),
        *_rows(table_columns(comparison), [table_cells(comparison, r) for r in comparison.table("test")]),
    ]
    if gauc := gauc_rows(comparison):
        lines += ["", f"## {gauc_title(comparison)}", "", *_rows(gauc_columns(comparison), gauc)]
    for baseline in comparison.baselines:
        lines += ["", f"## Δ AUC against {baseline}", ""]
        found = comparison.confidence.against(baseline)
        tasks = [*comparison.config.tasks, None]
        systems = dict.fromkeys(system for system, _ in found)
        texts = [[s, *(_interval(found.get((s, task))) for task in tasks)] for s in systems]
        lines += _rows(["system", *comparison.config.tasks, "average"], texts)
    if serving:
        texts = [[s, f"{c.ms_row:.3g}", f"{c.ms_500_rows:.3g}", f"{c.megabytes:.3g}"] for s, c in serving.items()]
        lines += ["", "## What the registered models cost to serve", ""]
        lines += _rows(["system", "ms a row", f"ms for {ROWS} rows", "MB"], texts)
    return "\n".join([*lines, "", *(f"- {note}" for note in table_notes(comparison))]) + "\n"


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    return f"{interval.delta:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]{interval.mark}"


def _rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, with bars in the cells escaped."""
    rule = ["---", *["--:"] * (len(head) - 1)]
    return [" | ".join(["", *map(_cell, row), ""]).strip() for row in (head, rule, *body)]


def _cell(text: str) -> str:
    return text.strip(_BLANK).replace("|", r"\|")
