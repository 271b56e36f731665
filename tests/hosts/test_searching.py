"""A search by two hosts on PostgreSQL: a link is cut and mended, a host loses its power, and the other one ends it."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.conftest import ROLES, ROOT
from tests.hosts.network import LONG, Host, printed, typed, until
from tests.pipeline.search.searching import finished

pytestmark = pytest.mark.slow
TRIALS = 8
# A server does not run as root.
DATABASE = """
as_user="setpriv --reuid nobody --regid nogroup --clear-groups env HOME={folder}"
$as_user initdb --pgdata {folder}/data --username gradops --auth trust
echo "host all all 10.77.0.0/24 trust" >> {folder}/data/pg_hba.conf
$as_user postgres -D {folder}/data -h "*" -k {folder} &
until createdb --host db --username gradops optuna; do sleep 0.3; done
echo ready
wait
"""


@pytest.fixture
def database() -> Iterator[Path]:
    """An empty folder for a server that does not run as root."""
    if missing := [tool for tool in ("initdb", "postgres", "createdb", "setpriv") if shutil.which(tool) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    folder = Path(mkdtemp(prefix="database-"))
    shutil.chown(folder, "nobody", "nogroup")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def config(line: str) -> str:
    """The config of the search, with the storage that the document's line names."""
    (storage,) = re.findall(r'storage = "[^"]+"', line)
    places = [f'{role} = "{ROOT}/tests/data/census/{file}.parquet"' for role, file in ROLES.items()]
    data = ["[data]", *places, 'prepared = "prepared"']
    search = ["[search]", f"trials = {TRIALS}", "heartbeat = 2", "workers = 1", storage]
    above = [f'extends = "{ROOT}/configs/debug.toml"', 'name = "two-hosts"', 'runs = "runs"']
    return "\n".join([*above, *data, *search, "[compare]", "boosting = false", ""])


def test_one_host_ends_what_two_have_begun(tmp_path: Path, hosts: tuple[Host, Host], database: Path) -> None:
    line, (first, second) = typed("gradops search"), hosts
    (tmp_path / "shop.toml").write_text(config(line))
    first.start(DATABASE.format(folder=database), tmp_path, {}, tmp_path / "database.log")
    until(lambda: "ready" in (tmp_path / "database.log").read_text(), LONG)
    environment = {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    of_first, of_second = (h.start(line, tmp_path, environment, tmp_path / f"{h.name}.log") for h in (first, second))
    until(lambda: finished(tmp_path / "second.log") or of_second.poll() is not None, LONG)
    second.cut()
    time.sleep(4)
    second.mend()
    assert (of_first.poll(), of_second.poll()) == (None, None), printed(tmp_path)
    second.kill()
    assert of_first.wait(LONG) == 0, printed(tmp_path)
    (result,) = (json.loads(path.read_text()) for path in (tmp_path / "runs" / "studies").glob("*.json"))
    assert [point["trial"] for point in result["points"]] == list(range(TRIALS))
    assert 0 < finished(tmp_path / "second.log") < TRIALS
