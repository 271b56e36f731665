"""The statements of the documents are true of the code."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from benchmarks.measured import measured
from features.errors import InputError
from features.kinds import KINDS
from features.tasks.binary import Task
from gradops.catalogue import methods_page
from gradops.measured import MEASURED
from gradops.methods import METHODS
from models.architectures import ARCHITECTURES, parse_architecture
from models.interactions import INTERACTIONS
from pipeline.config.contract import ContractConfig
from pipeline.config.gate import GateConfig
from pipeline.config.run import CompareConfig, DataConfig
from pipeline.config.search import Range, SearchConfig
from pipeline.config.split import SplitConfig
from pipeline.config.train import TrainConfig
from pipeline.data.prepare import prepare
from pipeline.serving.requests import Limits, read_request
from pipeline.sources.clicklog import Options, generate
from pipeline.tracking import tags
from pipeline.training.resolve import load_config
from tests.conftest import ROOT
from tests.docs.blocks import blocks
from tests.docs.clicks import write_clicks
from tests.docs.links import pages

DOCS = ROOT / "docs"
PACKAGES = ("features", "gradops", "models", "pipeline", "jobs")
# Tags in MLflow and a range of a search: dotted, and no modules.
NO_MODULES = {"gradops.alpha", *(name for name in vars(tags).values() if isinstance(name, str))}
ARCHITECTURE = (DOCS / "architecture.md").read_text()


@pytest.mark.parametrize("toml", blocks("toml", (DOCS / "architectures.md").read_text()))
def test_the_architectures_in_the_page_can_be_declared(toml: str) -> None:
    written = tomllib.loads(toml)["model"]
    declared = parse_architecture(written).layers
    assert declared == declared | written


def test_the_page_of_architectures_has_all_of_them() -> None:
    page = (DOCS / "architectures.md").read_text()
    declared = [parse_architecture(tomllib.loads(toml)["model"]) for toml in blocks("toml", page)]
    assert {model.kind for model in declared} == {*ARCHITECTURES}
    assert {model.interaction.kind for model in declared if model.interaction} == {*INTERACTIONS}
    assert all(f'`"{kind}"`' in page for kind in (*ARCHITECTURES, *INTERACTIONS))


def test_the_guide_to_your_own_data_is_true_of_a_generated_log() -> None:
    toml, *_ = blocks("toml", (DOCS / "your-own-data.md").read_text())
    Path("shop.toml").write_text(toml)
    generate(Options(rows=7000, users=500, items=100), Path("logs"))
    before = prepare(
        load_config(Path("shop.toml"), ["data.grow=true", "split.validation=2026-01-05", "split.test=2026-01-06"])
    )
    later = prepare(load_config(Path("shop.toml"), ["data.grow=true"]))
    assert before.rows == {"train": 4000, "val": 1000, "test": 2000}
    assert later.manifest["grown_from"] == before.fingerprint


def test_the_guides_other_config_prepares_a_click_log(tmp_path: Path) -> None:
    (toml,) = [code for code in blocks("toml", (DOCS / "your-own-data.md").read_text()) if "session_id" in code]
    (tmp_path / "shop.toml").write_text(toml)
    log = write_clicks(tmp_path / "logs")
    prepared = prepare(load_config(tmp_path / "shop.toml", ["spec.tasks.wish.positive=wished"]))
    splits = prepared.manifest["splits"]
    assert sum(split["rows"] for split in splits.values()) == len(log)
    known = sum(split["tasks"]["cart"]["known"] for split in splits.values())
    assert known == log.get_column("carted").drop_nulls().len() < len(log)


def test_requests_are_encoded_and_refused_as_shown(tmp_path: Path) -> None:
    guide, page = ((DOCS / f"{name}.md").read_text() for name in ("your-own-data", "serving"))
    (toml,) = [code for code in blocks("toml", guide) if "session_id" in code]
    (tmp_path / "shop.toml").write_text(toml)
    write_clicks(tmp_path / "logs")
    encoder = prepare(load_config(tmp_path / "shop.toml", ["spec.tasks.wish.positive=wished"])).encoder()
    columns = list(dict.fromkeys(c for name in encoder.spec.features for c in encoder.spec.columns(name)))
    requests = re.findall(r"-d '(\{.*?\})'$", "\n".join(blocks("", page)), flags=re.DOTALL | re.MULTILINE)
    right, wrong = (
        read_request(text.encode(), columns, Limits()).rows.frame().lazy() for text in requests if "..." not in text
    )
    assert encoder.encode_features(right).collect().height == 1
    with pytest.raises(InputError) as error:
        encoder.encode_features(wrong)
    assert f"\n{error.value}\n" in page


def test_every_package_says_what_it_is_and_has_its_line_in_the_architecture() -> None:
    for package in PACKAGES:
        for init in (ROOT / package).rglob("__init__.py"):
            folder = init.parent.relative_to(ROOT)
            assert ast.get_docstring(ast.parse(init.read_text())), f"{init} has no docstring"
            assert f"\n| `{folder}/` |" in ARCHITECTURE, f"{folder} has no line in docs/architecture.md"


def test_the_storeys_are_drawn_as_they_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    storeys = {contract["containers"][0]: contract["layers"] for contract in contracts if "containers" in contract}
    assert "pipeline" in storeys
    (drawing,) = [block for block in blocks("", ARCHITECTURE) if "─ pipeline/" in block]
    for room, layers in storeys.items():
        drawn = drawing.partition(f"─ {room}/")[2].partition("└")[0].splitlines()[1:]
        assert [words for line in drawn if (words := re.findall(r"\w+", line))] == [
            re.findall(r"\w+", layer) for layer in layers
        ]


def test_every_key_of_a_config_is_documented() -> None:
    documented = set(re.findall(r"`([a-z_0-9]+)`", (DOCS / "config.md").read_text()))
    run = (DataConfig, SplitConfig, ContractConfig, TrainConfig, CompareConfig, SearchConfig, Range, GateConfig)
    sections: tuple[type[BaseModel], ...] = (*run, Task, *KINDS, *ARCHITECTURES.values(), *INTERACTIONS.values())
    keys = {key for section in sections for key in section.model_fields}
    assert keys <= documented, keys - documented


def test_the_methods_page_is_what_their_docstrings_say() -> None:
    page = (DOCS / "methods.md").read_text()
    assert page == methods_page(), "run `make docs`"
    sections = page.split("\n## ")[1:]
    titles = [section.partition("\n")[0].strip("`") for section in sections]
    assert titles == [*METHODS, "+ rotation", "+ bound", "+ smooth", "Other names", "Not built"]
    for section in sections[: len(METHODS)]:
        assert all(word in section for word in ("\nChoose it ", "*Costs* ")), section
    assert not re.search(r":\w+:`|\.\. math", page), "reStructuredText left in Markdown"


def test_what_we_measured_of_methods_is_what_the_result_files_say() -> None:
    assert measured() == MEASURED, "run `python -m benchmarks.measured` and put its lines into gradops/measured.py"


def test_every_option_of_a_method_is_described() -> None:
    for row in re.findall(r"^\| `\w+` \| `.*?` \| .*? \| (.*) \|$", methods_page(), flags=re.MULTILINE):
        assert len(row) > 20, row


def test_pictures_are_there_and_linked() -> None:
    text = "".join(page.read_text() for page in pages(ROOT))
    for picture in ("report.png", "trade-off.png"):
        assert (DOCS / "pictures" / picture).read_bytes().startswith(b"\x89PNG")
        assert (DOCS / "pictures" / picture).stat().st_size < 200 * 1024
        assert f"pictures/{picture})" in text


def test_no_document_names_a_file_or_a_module_that_is_gone() -> None:
    gone = []
    for page in pages(ROOT):
        gone += [f"{page.name}: {path}" for path in _files(page.read_text()) if not (ROOT / path).exists()]
        gone += [f"{page.name}: {name}" for name in _names(page.read_text()) if not _is_there(name)]
    invented = [path.stem for path in (ROOT / "tests" / "conformance" / "added").glob("[a-z]*.py")]
    assert not [name for name in gone if not any(example in name for example in invented)]


def _files(text: str) -> set[str]:
    """Paths of our code."""
    rooms = "|".join((*PACKAGES, "tests", "benchmarks"))
    return set(re.findall(rf"\b(?:{rooms})/[\w/]+\.(?:py|html)\b", text))


def _names(text: str) -> set[str]:
    """Dotted names of our modules, and of what is in them."""
    rooms = "|".join((*PACKAGES, "benchmarks"))
    return set(re.findall(rf"(?<![\w.@/-])(?:{rooms})(?:\.[a-zA-Z_]\w*)+", text)) - NO_MODULES


def _is_there(name: str) -> bool:
    """Whether a dotted name is a module, or a word of the module that it begins with."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:end])
        module = next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)
        if module:
            return all(re.search(rf"\b{part}\b", module.read_text()) for part in parts[end:])
    return False
