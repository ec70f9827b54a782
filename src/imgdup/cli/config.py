"""Find and read the settings file: ``imgdup.toml``, or ``[tool.imgdup]`` in ``pyproject.toml``.

The nearest one is used, in the current folder or in a folder above. Options of the command line
take precedence.
"""

import difflib
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from imgdup.cli.printing import is_verbose, note
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.folder import foreign_owner
from imgdup.system.paths import current_folder

OWN_FILE, PROJECT_FILE = "imgdup.toml", "pyproject.toml"
KEYS = ("index", "exclude", "keep", "protect")
UNDER = "under:"  # of a keep rule that names a folder; a test compares it with keep.UNDER
META = "imgdup.config"  # where a click context keeps the settings


@dataclass(frozen=True)
class Config:
    """The settings of a file; None, or no folder, for those that it does not have."""

    file: Path | None = None  # where they were read; None if there is no settings file
    index: Path | None = None  # the index folder
    # Glob patterns of files and folders that are not indexed.
    exclude: tuple[str, ...] | None = None
    keep: str | None = None  # keep rules, separated by commas
    protect: tuple[str, ...] = ()  # folders whose files are never removed


def config() -> Config:
    """Return the settings for the command that runs; they are read once.

    Raises ImgdupError if the settings file cannot be read or belongs to another user. Raises
    UsageError if it has an unknown setting, or a wrong value.
    """
    context = click.get_current_context(silent=True)
    if context is None:
        return Config()
    meta = context.find_root().meta
    if META not in meta:
        meta[META] = _find(context.find_root().params.get("config_file"))
        _note_settings(meta[META])
    found: Config = meta[META]
    return found


def _note_settings(found: Config) -> None:
    """Print the settings on stderr with -v."""
    if not is_verbose():
        return
    if found.file is None:
        note("no settings file")
        return
    texts = [f"{key} = {_text(value)}" for key, value in vars(found).items() if value]
    note(f"settings: {'; '.join(texts)}")


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def keep_rules(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Return the rules of --keep; without it, those of the settings file, if it has some."""
    is_given = context.get_parameter_source(parameter.name or "") != ParameterSource.DEFAULT
    return value if is_given else config().keep or value


def protected_folders(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the folders of --protect, and those that the settings file protects."""
    return (*value, *config().protect)


def _find(named: str | None) -> Config:
    """Read the settings file that --config names, or the nearest one; an empty name means none."""
    if named is not None:
        return _read(Path(named), named=True) or Config(Path(named)) if named else Config()
    try:
        start = current_folder()
    except UsageError:  # the current folder was deleted; a command that needs it reports that
        return Config()
    for folder in (start, *start.parents):
        for name in (OWN_FILE, PROJECT_FILE):
            if os.path.isfile(folder / name) and (found := _read(folder / name, named=False)):
                return found
    return Config()


def _read(file: Path, *, named: bool) -> Config | None:
    """Read a settings file; None if it is a project file without settings of imgdup."""
    try:
        data = file.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise UsageError(f"--config {file}: {error.strerror}; name a TOML file") from error
    except OSError as error:
        raise ImgdupError(f"{file} cannot be read: {error.strerror}") from error
    is_project = file.name == PROJECT_FILE
    if is_project and b"imgdup" not in data:
        return None
    import tomllib  # 1.4 ms, and most have no such file

    try:
        table = tomllib.loads(data.decode())
    except ValueError as error:  # of tomllib, and of the decoding
        raise ImgdupError(f"{file} is not valid TOML: {error}") from error
    settings = _member(_member(table, "tool", file), "imgdup", file) if is_project else table
    if is_project and not settings:
        return None
    _check_owner(file, named=named)
    return _checked(file, settings)


def _member(table: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    """Return a table in a table, empty if it is missing."""
    found = table.get(name, {})
    if not isinstance(found, dict):
        raise UsageError(f"{file}: {name} must be a table")
    return found


def _check_owner(file: Path, *, named: bool) -> None:
    """Refuse a file of another user that was not named: anyone may write in a folder like /tmp."""
    owner = None if named else foreign_owner(file)
    if owner is not None:
        raise ImgdupError(
            f"{file} belongs to another user (uid {owner}): if you trust it, run: imgdup --config "
            f"{shlex.quote(str(file))} ...; if not: imgdup --config '' ..."
        )


def _checked(file: Path, settings: Mapping[str, Any]) -> Config:
    """Check the settings; paths are relative to the folder of the file."""
    for key in settings:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(
                f"{file} has the unknown setting {key!r}: {hint}the settings are {', '.join(KEYS)}"
            )
    folder = file.absolute().parent
    index, exclude = settings.get("index"), _texts(file, settings, "exclude")
    if index is not None and (type(index) is not str or not index):
        raise UsageError(f"{file}: index must be the name of a folder, got {index!r}")
    keep = _texts(file, settings, "keep")
    return Config(
        file,
        None if index is None else folder / index,
        None if exclude is None else tuple(exclude),
        None if keep is None else ",".join(_anchored(rule, folder) for rule in keep),
        tuple(str(folder / each) for each in _texts(file, settings, "protect") or ()),
    )


def _anchored(rule: str, folder: Path) -> str:
    """Return a keep rule; the folder in it is relative to that of the settings file."""
    return f"{UNDER}{folder / rule.removeprefix(UNDER)}" if rule.startswith(UNDER) else rule


def _texts(file: Path, settings: Mapping[str, Any], key: str) -> list[str] | None:
    """Return a setting that is a list of texts; None if it is missing."""
    value = settings.get(key)
    if value is None:
        return None
    if type(value) is not list or not all(type(each) is str and each for each in value):
        raise UsageError(f"{file}: {key} must be a list of texts, got {value!r}")
    return list(value)
