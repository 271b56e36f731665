"""What mkdocs does with the documents beyond its own: the repository's layout, formulas, and the API pages.

Documents link to each other by their places in the repository, `../README.md` from `docs/`, so that links work where
the repository is browsed. mkdocs only knows files below one folder. This hook gives it the documents under their paths
in the repository: the same links then work in the site, and mkdocs checks them.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import jupytext
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tests.docs.links import ROOT, links, pages


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Formulas in blocks, and the API pages at the end of the navigation."""
    fence = {"name": "math", "class": "math", "format": _block}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    assert config.nav is not None
    config.nav.append({"API": [{name: path} for name, path in _api().items()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The documents under their paths in the repository, the files they link, the tutorials, and the API's pages."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for path in sorted(_documents()):
        files.append(File(path.relative_to(ROOT).as_posix(), str(ROOT), config.site_dir, config.use_directory_urls))
    for script in sorted((ROOT / "docs" / "tutorials").glob("*.py")):
        page = script.relative_to(ROOT).with_suffix(".md").as_posix()
        files.append(File.generated(config, page, content=tutorial(script)))
    for module, page in _api().items():
        files.append(File.generated(config, page, content=f"::: {module}\n"))
    return files


def tutorial(script: Path) -> str:
    """A notebook in jupytext's percent format as a page: its text, and its code in blocks."""
    cells = jupytext.read(script, fmt="py:percent").cells
    parts = [cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```" for cell in cells]
    return "\n\n".join([*parts, f"The whole as a script: [{script.name}]({script.name})."]) + "\n"


def on_page_content(content: str, **_: Any) -> str:
    """Formulas in a line, ``$`x`$`` where a repository is browsed, as MathML, which browsers draw by themselves."""
    return re.sub(r"\$<code>(.*?)</code>\$", lambda found: convert(html.unescape(found[1])), content, flags=re.DOTALL)


def _block(source: str, *_: Any, **__: Any) -> str:
    return convert(source, display="block")


def _documents() -> set[Path]:
    """Every document, and every file that one of them links or shows."""
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in pages(ROOT) for link in links(page)}
    return {*pages(ROOT), *(path for path in linked if path.is_file() and path.is_relative_to(ROOT))}


def _api() -> dict[str, str]:
    """Module to page, the package itself first."""
    found = sorted((ROOT / "gradops").rglob("*.py"))
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in found]
    names = [".".join(part for part in path if part != "__init__") for path in parts]
    return {name: f"api/{name}.md" for name in sorted(names, key=lambda name: (name.count("."), name))}
