"""YAML as a person means it: the file of settings, and single values in environment variables.

Three things differ from PyYAML's own reading. A key that stands twice is an error (one of the two would be ignored in
silence). ``1e-3`` is a number. ``no``, ``on`` and the like are text, as in YAML 1.2; settings that are true or false
understand that text.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from service.errors import ConfigurationInvalid


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the three differences."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # typed by PyYAML
        first: [
            (tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[-1] not in ("bool", "float", "timestamp")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands here twice", key_node.start_mark
                )
            seen.add(key if isinstance(key, Hashable) else id(key))
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:\.\d+|\d+\.\d*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|Inf|INF)|\.\d+[eE][-+]?\d+)$|^\.(?:nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)


def parse_value(text: str) -> Any:
    """Return what `text` says, read as YAML (of which JSON is a part).

    Raises
    ------
    ValueError
        It is no YAML; the message says where.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # a safe loader with stricter rules
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(_explain(error)) from error


def read_file(path: Path) -> dict[str, Any]:
    """Return the settings in the file at `path`; an empty file holds none.

    Raises
    ------
    ConfigurationInvalid
        It cannot be read, is no YAML, or holds no mapping.
    """
    try:
        document = parse_value(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationInvalid(f"{path}: there is no such file; --config names the file of settings") from None
    except UnicodeDecodeError:
        raise ConfigurationInvalid(f"{path}: is not a UTF-8 text file") from None
    except OSError as error:
        raise ConfigurationInvalid(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationInvalid(f"{path}: is not valid YAML: {error}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigurationInvalid(
            f"{path}: must hold `key: value` settings such as `data_dir: data`, not {document!r}"
        )
    return document


def _explain(error: Exception) -> str:
    """Return one line that says what is wrong and where."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())


def as_yaml(settings: dict[str, Any]) -> str:
    """Return `settings` as a file that :func:`read_file` takes."""
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
