"""Read settings from YAML, with one clear sentence an error, and write them with comments."""

import hashlib
import json
import math
import textwrap
from pathlib import Path, PurePath
from typing import Any

import yaml
from pydantic import ValidationError

from lsbatch.errors import ConfigError
from lsbatch.settings import error_sentences, years
from lsbatch.settings.config import Config
from lsbatch.settings.survey import OBJECTS, ArchiveSettings, RegionSettings, Section, SourceSettings, SurveySettings

#: Longest line of a comment.
LINE = 110
#: Limits of a settings file: characters, and values after its aliases are expanded. An example has 7,000 and 150.
LONGEST_TEXT, MOST_VALUES = 1_000_000, 100_000


def digest(value: Any) -> str:
    """Return 16 hex digits of a JSON-like value; floats in their shortest form, keys in order."""
    text = json.dumps(value, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML loader that reads only plain values and refuses duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def get_single_node(self) -> yaml.Node | None:
        """Compose the document unless its aliases make it too large: nine lines can expand to a billion values."""
        node = super().get_single_node()
        if node is not None and _values(node, {}) > MOST_VALUES:
            raise yaml.constructor.ConstructorError(
                None, None, f"with its aliases written out it has more than {MOST_VALUES:,} values", node.start_mark
            )
        return node


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values in a document, with each alias expanded."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        # a value that contains itself, which Python writes as [...]
        known[id(node)] = 1
        inside = node.value if isinstance(node, yaml.SequenceNode) else [one for pair in node.value for one in pair]
        known[id(node)] = 1 + sum(_values(one, known) for one in inside)
    return known[id(node)]


def load(path: Path, year: int | None = None) -> Config:
    """Read settings from YAML; relative paths become relative to the file. With `year`, those of a year of a series.

    Raises
    ------
    ConfigError
        With one line a fault: the field, the value, what is allowed.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST_TEXT + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not YAML that may be loaded: {error_sentences.line(error)}") from None
    return load_text(text, path.parent, str(path), year)


def load_text(text: str, folder: Path, where: str, year: int | None = None) -> Config:
    """Read settings from the text of a YAML file. Relative paths are relative to `folder`.

    Raises
    ------
    ConfigError
        With one line a fault: the field, the value, what is allowed.
    """
    if len(text) > LONGEST_TEXT:
        raise ConfigError(f"{where}: has more than {LONGEST_TEXT:,} characters; settings have a few thousand")
    try:
        raw = yaml.load(text, Loader=_Loader)
    # any other exception: PyYAML passes on Python's errors for a 13th month, an empty !!int or a thousand open brackets
    except Exception as error:
        raise ConfigError(f"{where}: is not YAML that may be loaded: {error_sentences.line(error)}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: must hold settings by name, as 'lsbatch config' prints them")
    return parse(years.moved(raw, year, where), folder, where)


def parse(raw: dict[str, Any], folder: Path, where: str = "settings") -> Config:
    """Validate plain values. Relative paths are relative to `folder`."""
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{where}: {error_sentences.of_settings(error)}") from None
    return _rooted(config, folder.resolve(), where)


def _rooted(config: Config, folder: Path, where: str) -> Config:
    def absolute(path: Path | None) -> Path | None:
        if path is None or not isinstance(path, PurePath):
            # empty, or in object storage
            return path
        try:
            return folder / path.expanduser()
        except RuntimeError:
            raise ConfigError(f"{where}: {path}: is in the home folder of somebody who is not known here") from None

    def source(s: SourceSettings | None) -> SourceSettings | None:
        if s is None or s.url is None or "://" in s.url:
            return s
        return s.model_copy(update={"url": str(absolute(Path(s.url)))})

    archives = config.archives.model_copy(
        update={
            "dem_file": absolute(config.archives.dem_file),
            **{name: source(getattr(config.archives, name)) for name in ("sentinel2", "sentinel1", "dem")},
        }
    )
    weights = config.model.weights
    if weights and not weights.startswith(("package:", OBJECTS)):
        weights = str(absolute(Path(weights)))
    train = config.train.model_copy(update={"encoder_weights": absolute(config.train.encoder_weights)})
    truth = config.truth and config.truth.model_copy(
        update={name: absolute(getattr(config.truth, name)) for name in ("file", "points", "plots")}
    )
    inventory = config.inventory.model_copy(
        update={
            "areas": absolute(config.inventory.areas),
            **{
                kind: {name: absolute(file) for name, file in getattr(config.inventory, kind).items()}
                for kind in ("confounders", "others")
            },
        }
    )
    tls = config.cluster.tls and config.cluster.tls.model_copy(
        update={name: absolute(getattr(config.cluster.tls, name)) for name in ("ca_file", "cert_file", "key_file")}
    )
    seasons = {name: absolute(getattr(config.cluster, name)) for name in ("season_before", "season_after")}
    return config.model_copy(
        update={
            "archives": archives,
            "region": config.region.model_copy(update={"file": absolute(config.region.file)}),
            "model": config.model.model_copy(update={"weights": weights}),
            "train": train,
            "truth": truth,
            "inventory": inventory,
            "cluster": config.cluster.model_copy(update={"tls": tls, **seasons}),
            "output": absolute(config.output),
        }
    )


def with_model(config: Config, name: str) -> Config:
    """Return the same settings with another model family and its default weights.

    Raises
    ------
    ConfigError
        If there is no such model, or its archives are missing.
    """
    if name == config.model.family:
        return config
    raw = config.model_dump(mode="json")
    raw["model"] |= {"family": name, "weights": None}
    return parse(raw, config.output)


def with_device(config: Config, name: str) -> Config:
    """Return the same settings with another `predict.device`.

    Raises
    ------
    ConfigError
        If there is no such device.
    """
    raw = config.model_dump(mode="json")
    raw["predict"] |= {"device": name}
    return parse(raw, config.output)


def to_yaml(config: Config) -> str:
    """Write settings as YAML with every description as a comment. `parse` of the text gives the same settings."""
    return commented(dict(config))


def commented(values: dict[str, Any]) -> str:
    """Write some settings, by name, as YAML with their descriptions as comments. Inner sections are mappings too."""
    return "\n".join(_yaml_lines(Config, values, 0)) + "\n"


def _yaml_lines(section: type[Section], values: dict[str, Any], depth: int) -> list[str]:
    pad = "  " * depth
    lines: list[str] = []
    for name, value in values.items():
        info = section.model_fields[name]
        inner = error_sentences.section_of(info.annotation)
        if depth == 0 and lines:
            lines.append("")
        lines += textwrap.wrap(
            f"{info.description}{_bounds(info)}", LINE, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}# "
        )
        if inner is not None and value is not None:
            lines += [f"{pad}{name}:", *_yaml_lines(inner, dict(value), depth + 1)]
        else:
            lines.append(f"{pad}{name}: {_scalar(value)}".rstrip())
    return lines


def _bounds(info: Any) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    found = [
        f"{signs[key]} {getattr(m, key)}" for m in info.metadata for key in signs if getattr(m, key, None) is not None
    ]
    return f" ({', '.join(found)})" if found else ""


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_scalar(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_scalar(v)}" for key, v in value.items()) + "}"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (bool, int)):
        return str(value).lower()
    # PyYAML's own quoting: JSON's differs from YAML's for characters beyond the first 65,536
    return yaml.dump(str(value), Dumper=yaml.SafeDumper, default_style='"', width=math.inf).strip()


def example() -> Config:
    """Return example settings: Norway's annual survey."""
    return Config(
        survey=SurveySettings(id="norway-2024", year=2024),
        region=RegionSettings(bounds=(-80000.0, 6440000.0, 1120000.0, 7945000.0)),
        archives=ArchiveSettings(
            sentinel2=SourceSettings(preset="earth-search"),
            sentinel1=SourceSettings(preset="planetary-computer"),
            dem=SourceSettings(preset="planetary-computer"),
        ),
    )
