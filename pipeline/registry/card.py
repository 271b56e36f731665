"""The model card of each registered version: its description in the registry, in Markdown, and its summary as a tag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from pipeline.comparison.result_file import ComparisonFile, StudyFile
from pipeline.comparison.summary import against_single, chosen, effect, summary
from pipeline.registry.gate import Decision
from pipeline.tracking.store import connect
from pipeline.tracking.tags import SUMMARY

_LONGEST = 4900  # letters; MLflow's own databases take 5,000
_HINT = (
    "**Choosing** A day trains one model, so nothing here says what training the tasks together is worth: "
    "`gradops compare` does, in its report and in the cards of its versions."
)


def write_cards(model: str, versions: Mapping[str, int], file: ComparisonFile | StudyFile) -> None:
    """Describe versions by what a comparison or a search has found of them.

    Args:
        model: The registered model's name.
        versions: System to its version.
        file: The results.
    """
    client = connect()
    for system, number in versions.items():
        described = client.get_model_version(model, str(number)).description or system
        text = "\n\n".join(_parts(described.partition("\n")[0], _label(file, system), file))
        client.update_model_version(model, str(number), text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")
        if sentences := summary(file):
            client.set_model_version_tag(model, str(number), SUMMARY, " ".join(sentences))


def write_day_card(decision: Decision, day: date, start_from: str) -> None:
    """Describe the version of a scheduled day; what a comparison has written of it stays.

    Args:
        decision: The gate's decision on it.
        day: The day, whose rows have judged it.
        start_from: Fingerprint of the run that its training started from; empty if it was trained from scratch.
    """
    client, number = connect(), str(decision.candidate)
    version = client.get_model_version(decision.model, number)
    if SUMMARY in version.tags or decision.champion == decision.candidate:  # described before
        return
    first = (version.description or "").partition("\n")[0]
    begun = f"from the weights of run `{start_from}`" if start_from else "from scratch"
    trained = f"**Trained** {begun} on days before {day}, whose {decision.rows:,} rows have judged it."
    gate = "It passed every check." if decision.passed else f"It did not pass: {decision.why}."
    text = "\n\n".join([first, trained, f"**Gate** {gate}", _HINT])
    client.update_model_version(decision.model, number, text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")


def _label(file: ComparisonFile | StudyFile, system: str) -> str:
    """The name of a system in the intervals: a trial's has its number."""
    points = file.points if isinstance(file, StudyFile) else []
    return next((point.label for point in points if point.pareto and point.name == system), system)


def _parts(first: str, system: str, file: ComparisonFile | StudyFile) -> Iterator[str]:
    """The paragraphs of a card.

    Args:
        first: The line that the version was registered with: method, seed and test AUC.
        system: The version's system.
        file: The results.
    """
    yield first
    if system != chosen(file) and (found := against_single(file, system)):
        yield f"**`{system}`** {effect(system, found)}"
    if sentences := summary(file):
        yield f"**Choosing** {' '.join(sentences)}"
    if file.rows:
        rows = ", ".join(f"{split} {count:,}" for split, count in file.rows.items())
        yield f"**Data** {file.data}, rows: {rows}. {_positives(file)}"
    if file.verdicts:
        yield "\n".join(["**What to know**", "", *(f"- {sentence}" for sentence in file.verdicts)])


def _positives(file: ComparisonFile | StudyFile) -> str:
    found = {task: labels for task, labels in file.labels.get("train", {}).items() if labels.known}
    shares = ", ".join(f"{task} {labels.positives / labels.known:.2%}" for task, labels in found.items())
    return f"Positives among known training labels: {shares}." if shares else ""
