"""A file of settings anywhere on disk, as words of the command line.

So it is composed and checked as if its settings had been typed, and words typed after it win.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from abm.config import Config, ConfigError

CHOICE = "experiment="
ENDINGS = (".yaml", ".yml")
OVERRIDE = "override /"


def expanded(words: Sequence[str]) -> list[str]:
    """The words of the command line with `experiment=FILE.yaml` written out, first of all.

    Raises
    ------
    ConfigError
        For a file that cannot be read as settings.
    """
    files = [word for word in words if word.startswith(CHOICE) and word.endswith(ENDINGS)]
    typed = [word for word in words if word not in files]
    chosen = {word.partition("=")[0] for word in typed}
    found: list[str] = []
    for word in files:
        path = Path(word.removeprefix(CHOICE).strip("'\"")).expanduser()
        found += [w for w in words_of(path) if w.partition("=")[0] not in chosen]
    return [*found, *typed]


def words_of(path: Path) -> list[str]:
    """What a file of settings says, word by word.

    Its `defaults` may only choose options, as in "override /membership: none". Files and folders
    that it names are looked for beside it.

    Raises
    ------
    ConfigError
        For a file that cannot be read as settings.
    """
    content = _read(path)
    words = ["~experiment"]
    for entry in content.pop("defaults", None) or []:
        if entry == "_self_":
            continue
        group = next(iter(entry)) if isinstance(entry, dict) and len(entry) == 1 else ""
        if not group.startswith(OVERRIDE):
            raise ConfigError(
                f"{path}: defaults contains {entry!r}; write - override /GROUP: OPTION, such as "
                "- override /membership: none"
            )
        words.append(f"{group.removeprefix(OVERRIDE)}={literal(entry[group])}")
    settings = {"name": path.stem} | _beside(path.parent, content)
    return [*words, *_words(settings, "", Config)]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no file {path}; give the path of your settings") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} cannot be read as YAML: {reason}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no settings; write them as name: value, one a line")
    return content


def _beside(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The settings with files and folders that lie beside the file named in full."""
    hindcast, world = content.get("hindcast"), content.get("world")
    if isinstance(hindcast, dict) and (folder / str(hindcast.get("observed", ""))).is_file():
        observed = str((folder / hindcast["observed"]).resolve())
        content["hindcast"] = hindcast | {"observed": observed}
    if isinstance(world, dict) and isinstance(world.get("tables"), list):
        tables = [
            str((folder / str(name)).resolve()) if (folder / str(name)).is_dir() else name
            for name in world["tables"]
        ]
        content["world"] = world | {"tables": tables}
    return content


def _words(settings: dict[str, Any], prefix: str, schema: Any) -> Iterator[str]:
    known = typing.get_type_hints(schema)
    for name, value in settings.items():
        kind = known.get(str(name))
        if isinstance(value, dict) and dataclasses.is_dataclass(kind):
            yield from _words(value, f"{prefix}{name}.", kind)
        elif isinstance(value, dict) and typing.get_origin(kind) is dict:
            yield from (f"++{prefix}{name}.{key}={literal(part)}" for key, part in value.items())
        else:
            yield f"{prefix}{name}={literal(value)}"


def literal(value: Any) -> str:
    """A value as the command line takes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{literal(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(literal(part) for part in value) + "]"
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
