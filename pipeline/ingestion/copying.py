"""Copies of what a source at a store means, beside the target of an import.

A tree of empty files stands for the listing of the store, so the rules that find local files find the objects. Only
what they find is copied, once, and then read like any file: text is read twice, which would be two transfers.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from features.errors import InputError
from pipeline.ingestion.delta import LOG, is_delta, present_files
from pipeline.ingestion.finding import walked
from pipeline.ingestion.formats import format_of
from pipeline.ingestion.stores import Store, in_conflict

# Folders by which tables of other formats are known.
_MARKS = (LOG, ".hoodie", "metadata")


@dataclass(frozen=True)
class Copies:
    """Objects of a store as files.

    Args:
        store: The store.
        root: The folder that stands for it.
        sizes: The bytes of each object of the source.
        on_file: Called with the URI of each object before it is copied.
    """

    store: Store
    root: Path
    sizes: Mapping[str, int]
    on_file: Callable[[str], None]

    @property
    def source(self) -> str:
        """The path or pattern that means here what the URI means at the store."""
        return str(self.root / self.store.place)

    def said(self, text: object) -> str:
        """A text with the URIs of objects in place of the paths of their copies."""
        return str(text).replace(f"{self.root}/", f"{self.store.scheme}://")

    def make(self) -> None:
        """Copy all that the source means.

        Raises:
            InputError: If an object cannot be read, or its key is no path; or the disk has no room.
        """
        self._mirror()
        self._fetch(self._wanted())

    def _mirror(self) -> None:
        """Make an empty file for every object, and for the marks of tables that the source is a part of."""
        both = in_conflict(self.sizes)
        if holding := [key for key in both if self.sizes[key]]:
            raise InputError(f"{self.root / holding[0]} is an object and a folder; rename one of the two")
        for key in [*self.sizes.keys() - set(both), *self.store.marks_above(_MARKS)]:
            try:
                if not {"", ".", ".."}.isdisjoint(key.split("/")):
                    raise ValueError("one of its names is empty or made of dots")
                (self.root / key).parent.mkdir(parents=True, exist_ok=True)
                (self.root / key).touch()
            except (OSError, ValueError) as error:
                problem = f"has a key that no path here has ({error}); rename the object"
                raise InputError(f"{self.store.scheme}://{key} {problem}") from None

    def _wanted(self) -> Iterable[Path]:
        """The files to copy."""
        folder = Path(self.source)
        if is_delta(folder):
            self._fetch(path for path in (folder / LOG).rglob("*") if path.is_file())
            self._fetch(folder.rglob("deletion_vector_*.bin"))
            return present_files(folder)
        # Whether a file without an ending holds Parquet is seen when it is here.
        return walked(self.source, lambda one: not one.suffix or format_of(one) is not None).files

    def _fetch(self, files: Iterable[Path]) -> None:
        keys = sorted(path.relative_to(self.root).as_posix() for path in files)
        if lacking := [key for key in keys if key not in self.sizes]:
            raise InputError(f"{self.root / lacking[0]} is a file of the table, and is not there; restore it")
        needed, free = sum(self.sizes[key] for key in keys), shutil.disk_usage(self.root).free
        if needed > free:
            room = f"has {needed / 1e9:.1f} GB to copy, and {self.root.parent} has {free / 1e9:.1f} GB free"
            raise InputError(f"{self.store.uri} {room}; import a part of it at a time, or to a larger disk")
        for key in keys:
            self.on_file(f"{self.store.scheme}://{key}")
            self.store.fetch(key, self.sizes[key], self.root / key)


@contextmanager
def copied(uri: str, beside: Path, on_file: Callable[[str], None]) -> Iterator[Copies]:
    """Copies of all that a URI means, for as long as the block lasts; its errors name the objects, not the copies.

    Args:
        uri: An object, a folder or a pattern.
        beside: The path beside which the copies lie.
        on_file: Called with the URI of each object before it is copied.

    Raises:
        InputError: If the store cannot be read, has no such bucket or keys that no file has, or is larger than what is
            free on the disk.
    """
    store = Store.of(uri)
    sizes = store.objects(_MARKS)
    beside.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=beside.parent, prefix=f".{beside.name}.", suffix=".draft") as name:
        copies = Copies(store, Path(name).resolve(), sizes, on_file)
        try:
            copies.make()
            yield copies
        except InputError as error:
            raise InputError(copies.said(error)) from None
