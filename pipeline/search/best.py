"""The space of the preset ``best``: one dimension a line, and the first points, known to be good somewhere.

A further architecture is a name in :data:`ARCHITECTURES` and the lines of its own sizes; a further key is one line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from features.encoder import Table
from gradops.catalogue import search_space
from gradops.methods import parse
from models.table_optimizers.names import choices
from pipeline.config.run import RunConfig
from pipeline.runs.run import architecture_of
from pipeline.search.choice import Fixed
from pipeline.search.dimensions import AS_WRITTEN, Dimension, Number, Pick, Values, applies
from pipeline.search.method_options import name_of, option_of

STATIC = "static weights"  # uniform with searched weights of tasks: the rival of every method, by the same sampler
METHODS = ("uniform", STATIC, "gradops", "cagrad", "db_mtl", "uncertainty")
ARCHITECTURES = ("shared_bottom", "mmoe", "ple", "stem")
_ADAGRADS = ("rowwise_adagrad", "adagrad")
_LEAST_STEPS = 20  # of an epoch, whatever the batch
_ID_ROWS, _ID_TABLES = 1000, 4  # ids are the values of tables at least this large, of at most so many tables
_SPARSE = 10  # training rows a value, below which ids are left out together at first
_DOT_FEATURES = 30  # products of every two features are for a few dozen at most


@dataclass(frozen=True)
class Subject:
    """What the space is made for.

    Args:
        config: The config as it is written.
        tables: The embedding tables of its data.
        rows: Number of training rows.
    """

    config: RunConfig
    tables: Sequence[Table]
    rows: int

    @property
    def written(self) -> dict[str, Any]:
        """The section ``[model]`` as it is written, with its defaults."""
        return architecture_of(self.config).model_dump()

    @property
    def kinds(self) -> list[str]:
        """The architectures: the written one first."""
        return list(dict.fromkeys([self.written["kind"], *ARCHITECTURES]))

    @property
    def ids(self) -> list[str]:
        """The tables whose values are ids, the largest first."""
        vocabularies, features = self.config.spec.vocabularies, self.config.spec.features
        hashed = ("categorical", "multi_hot", "cross")  # without a vocabulary
        known = [t for t in self.tables if t.name in vocabularies or features[t.features[0]].kind in hashed]
        large = [table for table in known if table.rows >= _ID_ROWS]
        return [table.name for table in sorted(large, key=lambda table: -table.rows)[:_ID_TABLES]]

    @property
    def sparse_ids(self) -> list[str]:
        """Those of the ids with few training rows a value, which a network may learn by heart."""
        rows = {table.name: table.rows for table in self.tables}
        return [name for name in self.ids if self.rows < _SPARSE * rows[name]]


def dimensions(subject: Subject) -> list[Dimension]:
    """The dimensions of the space for a config and its data, each after those that it depends on."""
    config, kinds = subject.config, [kind for kind in subject.kinds if kind in ARCHITECTURES]
    base, train = subject.written["kind"], config.train
    uniform = ["uniform", STATIC]
    return [
        Pick("method", _methods(config)),
        *(n for text in METHODS if text not in uniform for n in _options(text)),
        *(_weight(config, task) for task in config.tasks if len(config.tasks) > 1),
        *(Pick("rates", _with_written(_rates())) for _ in config.tasks[1:2]),
        Pick("start", _with_written(_starts())),
        Pick("kind", {kind: {} for kind in subject.kinds}),
        _own(base, "shared_bottom", "bottom", _sizes("bottom", "128,64", "192,192", "256,128", "512,256", "64")),
        _own(base, "mmoe", "experts", {str(n): {"model.experts": n} for n in (4, 2, 8)}),
        _own(base, "mmoe", "expert", _sizes("expert", "96,96", "128,64", "64", "192,96")),
        _own(base, "ple", "levels", {str(n): {"model.levels": n} for n in (1, 2)}),
        _own(base, "ple", "expert", _sizes("expert", "96", "128,64", "64", "192,96")),
        _own(base, "stem", "shared_experts", {str(n): {"model.shared_experts": n} for n in (2, 1)}),
        _own(base, "stem", "expert", _sizes("expert", "96", "128,64", "64", "192,96")),
        Pick("tower", _with_written({**_sizes("tower", "32", "64,32"), "none": {"model.tower": ()}}), {"kind": kinds}),
        Pick("dropout", _with_written({f"{p:g}": _dropout(p) for p in (0.0, 0.1, 0.3, 0.5)}), {"kind": kinds}),
        Pick("interaction", _with_written(_interactions(subject))),
        Pick("ensemble", _with_written({str(k): {"model.ensemble": k} for k in (1, 4)})),
        _number("model.embedding_std", 0.003, 0.5, subject.written["embedding_std"]),
        Pick("course", _with_written(_courses())),
        _number("train.lr", 3e-4, 2e-2, train.lr),
        Pick("batch", _with_written({str(b): {"train.batch_size": b} for b in _batches(subject)})),
        Pick("tables", _with_written(_table_optimizers(config))),
        Number("train.table_lr", 3e-3, 0.3, 0.05, when={"tables": _ADAGRADS}),
        Pick("average", _with_written({f"{a:g}": {"train.ema": a} for a in (0.0, 0.99, 0.995, 0.999)})),
        Pick("decay", _with_written({f"{d:g}": _decay(d) for d in (0.0, 1e-3, 1e-2, 0.1)})),
        *(Pick(f"ids {table}", _with_written(_ids(table))) for table in subject.ids),
    ]


def first_points(subject: Subject) -> list[Fixed]:
    """The first points: the config as it is written, then one good change each, then good changes together."""
    ids = {f"ids {table}": "left out" for table in subject.sparse_ids}
    adagrad = {"tables": "rowwise_adagrad", "train.table_lr": 0.05}
    crosses = {"interaction": "dcn_v2, rank 64", "model.embedding_std": 0.1}
    changes: list[dict[str, Any]] = [
        {},
        {"start": "at the prevalences"},
        {"start": "at the prevalences", "rates": "inverse_entropy"},
        {"course": "steady", **adagrad},
        ids,
        crosses,
        {**crosses, "ensemble": "4", "average": "0.995"},
        {"course": "one cycle of 2"},
        {"kind": "stem"},
        {"kind": "ple"},
        {"kind": "mmoe"},
        {"bottom of shared_bottom": "256,128", "kind": "shared_bottom"},
        {"bottom of shared_bottom": "128,64", "kind": "shared_bottom", "dropout": "0.1"},
        {"course": "steady", **adagrad, **ids, **crosses},
        {f"ids {table}": "dropout 0.3" for table in subject.sparse_ids},
        {"batch": "256", "course": "one cycle of 2"},
        {"method": "gradops", "gradops.alpha": -1.0},
        {"ensemble": "4", "course": "steady"},
    ]
    found = [point for change in changes if (point := _point(subject, change)) is not None]
    return [point for place, point in enumerate(found) if point not in found[:place]]


def _point(subject: Subject, change: Mapping[str, Any]) -> Fixed | None:
    """The config as it is written with a change; None if the space lacks an alternative of the change."""
    chosen: Fixed = {}
    space = dimensions(subject)
    if change.keys() - {dimension.name for dimension in space}:
        return None
    for dimension in space:
        if applies(dimension, chosen):
            value = change.get(dimension.name, dimension.usual)
            if isinstance(dimension, Pick) and value not in dimension.options:
                return None
            chosen[dimension.name] = value
    return chosen


def _with_written(options: Mapping[str, Values]) -> dict[str, Values]:
    return {AS_WRITTEN: {}, **options}


def _methods(config: RunConfig) -> dict[str, Values]:
    """The methods: the written one first, as it is written; static weights for several tasks only."""
    written = config.train.method
    names = [name for name in METHODS if len(config.tasks) > 1] or ["uniform"]
    first = {written: {"method": written}}
    return {**first, **{name: {"method": "uniform" if name == STATIC else name} for name in names}}


def _options(text: str) -> list[Number]:
    """The options of a method, in their declared ranges."""
    method = parse(text)
    found = []
    for option, (low, high) in search_space(method).items():
        usual = option_of(method, option)
        name = f"{name_of(method)}.{option}"
        found.append(
            Number(name, low, high, min(max(usual, low), high), log=False, when={"method": [text]}, is_key=False)
        )
    return found


def _weight(config: RunConfig, task: str) -> Number:
    written = config.spec.tasks[task].weight
    return Number(f"spec.tasks.{task}.weight", written / 10, written * 10, written, when={"method": [STATIC]})


def _rates() -> dict[str, Values]:
    """The weights of tasks by their prevalences, on top of their own."""
    names = ("equal", "inverse_entropy", "sqrt_inverse_rate")
    return {name: {"train.task_weights": name} for name in names}


def _starts() -> dict[str, Values]:
    """The start of the tasks' output layers."""
    return {"at the prevalences": {"train.prior_bias": True}, "even": {"train.prior_bias": False}}


def _own(base: str, kind: str, key: str, options: Mapping[str, Values]) -> Pick:
    """A key of one architecture; as it is written if that is the config's own."""
    return Pick(f"{key} of {kind}", _with_written(options) if kind == base else options, {"kind": [kind]})


def _sizes(key: str, *texts: str) -> dict[str, Values]:
    return {text: {f"model.{key}": tuple(int(units) for units in text.split(","))} for text in texts}


def _number(key: str, low: float, high: float, written: float) -> Number:
    """A number of the config in a range that the written value widens."""
    return Number(key, min(low, written), max(high, written), written)


def _dropout(rate: float) -> Values:
    return {"model.dropout": rate} | ({} if rate else {"train.dropout_schedule": "constant"})


def _decay(rate: float) -> Values:
    return {"train.weight_decay": rate} | ({} if rate else {"train.decay_schedule": "constant"})


def _interactions(subject: Subject) -> dict[str, Values]:
    found: dict[str, Any] = {"none": None}
    found |= {f"dcn_v2, rank {rank}": {"kind": "dcn_v2", "layers": 2, "rank": rank} for rank in (64, 16)}
    if len(subject.config.spec.id_features) <= _DOT_FEATURES:
        found["dot"] = {"kind": "dot", "width": 16}
    return {name: {"model.interaction": value} for name, value in found.items()}


def _courses() -> dict[str, Values]:
    """The courses of a run: a constant rate with an early stop, or one cycle of so many epochs."""
    steady = {"train.schedule": "constant", "train.epochs": 20, "train.patience": 2, "train.max_steps": 0}
    cycle = {"train.schedule": "one_cycle", "train.patience": 0, "train.max_steps": 0}
    cycles = {f"one cycle of {n}": {**cycle, "train.epochs": n} for n in (1, 2, 4, 8)}
    return {"steady": steady, **cycles}


def _batches(subject: Subject) -> list[int]:
    return [size for size in (256, 512, 1024, 2048, 4096) if size * _LEAST_STEPS <= subject.rows]


def _table_optimizers(config: RunConfig) -> dict[str, Values]:
    kernel, device = config.train.table_kernel, config.train.device
    names = [name for name in ("rowwise_adagrad", "adagrad", "adam", "lazy_adam") if name in choices(kernel, device)]
    return {n: {"train.table_optimizer": n} | ({} if n in _ADAGRADS else {"train.table_lr": 0.0}) for n in names}


def _ids(table: str) -> dict[str, Values]:
    """What a run does with the ids of a table."""
    rules: dict[str, Any] = {"left out": {"left_out": True}}
    rules |= {f"min_count {n}": {"min_count": n} for n in (3, 10)}
    rules |= {f"dropout {rate:g}": {"dropout": rate} for rate in (0.1, 0.3)}
    rules["min_count 3, dropout 0.2"] = {"min_count": 3, "dropout": 0.2}
    return {name: {f"train.ids.{table}": rule} for name, rule in rules.items()}
