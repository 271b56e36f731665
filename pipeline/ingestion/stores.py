"""Object stores: the objects below a URI, listed and read by pyarrow, with the credentials of the environment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from features.errors import InputError
from pipeline.files.disk import is_full
from pipeline.files.foreign import parse_store
from pipeline.files.redaction import without_passwords
from pipeline.files.walk import is_pattern

_CONNECT, _ANSWER, _ATTEMPTS = 10, 60, 3  # seconds, seconds, tries
_BLOCK = 1 << 22  # bytes
_LONGEST = 300  # characters of a library's message


def _s3(bucket: str) -> Any:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not endpoint and not region:
        with suppress(OSError):  # the region of the profile, or the usual one, may do
            region = fs.resolve_s3_region(bucket)
    return fs.S3FileSystem(
        endpoint_override=endpoint,
        region=region,
        connect_timeout=_CONNECT,
        request_timeout=_ANSWER,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
    )


def _gs(_: str) -> Any:
    return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=_CONNECT))


def _az(_: str) -> Any:
    name = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    if not name:
        raise InputError("`az://` needs the name of the storage account in AZURE_STORAGE_ACCOUNT_NAME")
    sas = os.environ.get("AZURE_STORAGE_SAS_TOKEN")
    key = None if sas else os.environ.get("AZURE_STORAGE_ACCOUNT_KEY")
    return fs.AzureFileSystem(account_name=name, account_key=key, sas_token=sas)


_OPENED: dict[str, Callable[[str], Any]] = {"s3": _s3, "gs": _gs, "az": _az}
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; AWS_REGION; AWS_ENDPOINT_URL if not Amazon's",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, the path of a key file",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
}


@dataclass(frozen=True)
class Store:
    """A store, opened for one source.

    Args:
        scheme: ``s3``, ``gs`` or ``az``.
        place: Bucket and key, the key of a folder or object or a pattern, without a slash at the end.
        files: pyarrow's file system.
    """

    scheme: str
    place: str
    files: Any

    @classmethod
    def of(cls, uri: str) -> Store:
        """Open the store of a URI.

        Raises:
            InputError: If the URI has no bucket, or has credentials in it; or the store cannot be opened.
        """
        parsed = parse_store(uri)
        assert parsed is not None
        scheme, place = parsed
        bucket = place.partition("/")[0]
        # A secret key may hold slashes: then the `@` of a login is not in the first part.
        if not bucket or is_pattern(bucket) or "@" in bucket or ":" in bucket:
            rule = f"`{scheme}://BUCKET/FOLDER`, and credentials stand in the environment: {_CREDENTIALS[scheme]}"
            raise InputError(f"`{without_passwords(uri)}` is no place in a store; write {rule}")
        with _told(uri, scheme):
            return cls(scheme, place, _OPENED[scheme](bucket))

    @property
    def uri(self) -> str:
        """The URI of the source."""
        return f"{self.scheme}://{self.place}"

    @property
    def base(self) -> str:
        """Bucket and key of the deepest folder, or of the object, that is named without a pattern."""
        parts = self.place.split("/")
        return "/".join(parts[: next((n for n, part in enumerate(parts) if is_pattern(part)), len(parts))])

    def objects(self, marks: Sequence[str]) -> dict[str, int]:
        """Bucket and key of each object that the source may mean, with its bytes.

        Those are the object itself and all below its folder. Of a pattern, a folder is listed at a time, and all of it
        only from where the pattern ends. Nothing is asked for that a user of one folder may not see.

        Args:
            marks: The folders by which tables are known; their objects are among those of a pattern, too.

        Raises:
            InputError: If the store cannot be reached, refuses, or has no such bucket.
        """
        pattern = self.place.split("/")[self.base.count("/") + 1 :]
        with _told(self.uri, self.scheme):
            found = self._matching(self.base, pattern, marks) if pattern else self._named(self.base)
            if found or self._has_bucket:
                return found
        raise InputError(f"there is no bucket `{self._bucket}`, so {self.uri} cannot be read; mend the URI")

    def marks_above(self, folders: tuple[str, ...]) -> list[str]:
        """The objects in folders of some names beside or above the source, by which tables are known.

        A user that may list the source alone sees none.

        Raises:
            InputError: If the store does not answer.
        """
        parts, found = self.base.split("/"), list[str]()
        with _told(self.uri, self.scheme):
            for depth in range(1, len(parts)):
                for name in folders:
                    try:
                        found += self._below("/".join([*parts[:depth], name]))
                    except OSError as error:
                        if not _is_denied(error):
                            raise
        return found

    def fetch(self, key: str, size: int, target: Path) -> None:
        """Copy an object to a file.

        Raises:
            InputError: If it cannot be read, or changes meanwhile.
            OSError: If the disk is full.
        """
        uri = f"{self.scheme}://{key}"
        # compression: by default, pyarrow unpacks what is called .gz.
        with (
            _told(uri, self.scheme),
            self.files.open_input_stream(key, compression=None) as source,
            target.open("wb") as copy,
        ):
            shutil.copyfileobj(source, copy, _BLOCK)
        if (read := target.stat().st_size) != size:
            found = f"had {size:,} bytes when it was listed and {read:,} when it was read"
            raise InputError(f"{uri} {found}: it is being written; import it when that is over")

    @property
    def _bucket(self) -> str:
        return self.place.partition("/")[0]

    @property
    def _has_bucket(self) -> bool:
        try:
            (bucket,) = self.files.get_file_info([self._bucket])
        except OSError as error:
            if not _is_denied(error):
                raise
            return True
        return bool(bucket.type != fs.FileType.NotFound)

    def _named(self, key: str) -> dict[str, int]:
        """The object of a key and those below the folder of its name, whichever the user may see."""
        found: dict[str, int] = {}
        try:
            (one,) = self.files.get_file_info([key])
            found = {one.path: one.size} if one.type == fs.FileType.File and one.size else {}
            return found | self._below(key)
        except OSError as error:
            if not _is_denied(error):
                raise
        return found or self._below(key)

    def _matching(self, folder: str, pattern: Sequence[str], marks: Sequence[str]) -> dict[str, int]:
        """The objects that a pattern matches below a folder, and some that it does not."""
        part, rest = pattern[0], pattern[1:]
        if part == "**":
            return self._below(folder)
        found: dict[str, int] = {}
        for one in self._listed(folder, is_recursive=False):
            is_folder, matches = one.type == fs.FileType.Directory, fnmatch(one.base_name, part)
            if is_folder and (one.base_name in marks or (matches and not rest)):
                found |= self._below(one.path)
            elif is_folder and matches:
                found |= self._matching(one.path, rest, marks)
            elif matches and not rest:
                found[one.path] = one.size
        return found

    def _below(self, folder: str) -> dict[str, int]:
        found = self._listed(folder, is_recursive=True)
        return {one.path: one.size for one in found if one.type == fs.FileType.File}

    def _listed(self, folder: str, *, is_recursive: bool) -> list[Any]:
        selector = fs.FileSelector(folder, recursive=is_recursive, allow_not_found=True)
        try:
            return list(self.files.get_file_info(selector))
        except NotADirectoryError:
            return []


def _is_denied(error: OSError) -> bool:
    text = str(error).lower()
    return isinstance(error, PermissionError) or any(word in text for word in ("denied", "forbidden", "permission"))


def in_conflict(sizes: Mapping[str, int]) -> list[str]:
    """The objects whose keys are also those of folders; no folder of this machine has a file of its own name."""
    folders = {key[:at] for key in sizes for at, sign in enumerate(key) if sign == "/"}
    return sorted(folders.intersection(sizes))


@contextmanager
def _told(uri: str, scheme: str) -> Iterator[None]:
    """Turn every error of a store into one message, without a credential in it."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if is_full(error):
            raise
        told = without_passwords(str(error).partition("\n")[0])[:_LONGEST]
        fix = f"check the network, that you may list and read there, and the environment: {_CREDENTIALS[scheme]}"
        raise InputError(f"{without_passwords(uri)} cannot be read ({told}); {fix}") from None
