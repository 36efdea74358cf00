"""Settings of storage plugins: a worker's Snakemake reads what was meant."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import configargparse
import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake_interface_common.plugin_registry.plugin import TaggedSettings
from snakemake_interface_storage_plugins.registry import StoragePluginRegistry
from snakemake_interface_storage_plugins.registry.plugin import Plugin
from snakemake_interface_storage_plugins.settings import StorageProviderSettingsBase

from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.snakemake_api import storage_options as storage_settings

# Snakemake looks at types, and knows no other form of this one.
_Text = Optional[str]  # noqa: UP045


@dataclass
class Settings(StorageProviderSettingsBase):
    host: _Text = field(default=None, metadata={"help": "a"})
    level: int = field(default=5, metadata={"help": "b"})
    folder: Path = field(default=Path(), metadata={"help": "c"})
    pair: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "e",
            "parse_func": lambda text: tuple(text.split("+")),
            "unparse_func": "+".join,
        },
    )
    passive: bool = field(default=False, metadata={"help": "f"})
    key: _Text = field(default=None, metadata={"help": "g", "env_var": True})
    token: _Text = field(default=None, metadata={"help": "h", "env_var": True})


PLUGIN = Plugin(
    storage_provider=object, storage_object=object, _storage_settings_cls=Settings, _name="toy"
)


def _tagged(**by_tag: Settings) -> TaggedSettings:
    tagged = TaggedSettings()
    for tag, settings in by_tag.items():
        tagged.register_settings(settings, tag=None if tag == "untagged" else tag)
    return tagged


def _read(settings: TaggedSettings) -> TaggedSettings:
    """Return what Snakemake's parser makes of options and variables."""
    parser = configargparse.ArgumentParser()
    registry = object.__new__(StoragePluginRegistry)  # without the plugins that are installed
    registry.plugins = {PLUGIN.name: PLUGIN}
    registry.register_cli_args(parser)
    words = storage_settings.options([(PLUGIN, settings)])
    arguments = shlex.split(" ".join(words))
    variables = storage_settings.environment([(PLUGIN, settings)])
    read = PLUGIN.get_settings(parser.parse_args(arguments, env_vars=variables))
    assert isinstance(read, TaggedSettings)
    return read


# Empty texts and such with two colons cannot be given to Snakemake; a first dash only without tags.
_texts = st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1).filter(
    lambda text: "::" not in text and not text.endswith(":")
)


@given(host=_texts, key=_texts, level=st.integers())
def test_untagged_settings_are_read_again(host: str, key: str, level: int) -> None:
    meant = Settings(host=host, key=key, level=level, passive=True, pair=("a", "b"))
    assert _read(_tagged(untagged=meant)).get_settings() == meant


@given(one=_texts, two=_texts, rest=_texts.filter(lambda text: not text.startswith("-")))
def test_tagged_settings_are_read_again(one: str, two: str, rest: str) -> None:
    meant = _tagged(
        one=Settings(host=one, key=one, level=5, folder=Path("x y")),
        two=Settings(host=rest, key=two, level=6, token=two, folder=Path("x y")),
        untagged=Settings(host=rest, key=rest, level=6, folder=Path("x y")),
    )
    read = _read(meant)
    for tag in ("one", "two", None):
        assert read.get_settings(tag) == meant.get_settings(tag), tag


def test_what_may_be_secret_is_in_no_option() -> None:
    settings = _tagged(untagged=Settings(key="SECRET", host="host"))
    assert storage_settings.options([(PLUGIN, settings)]) == ["--storage-toy-host=host"]
    assert storage_settings.environment([(PLUGIN, settings)]) == {
        "SNAKEMAKE_STORAGE_TOY_KEY": "SECRET"
    }


def test_defaults_are_not_named() -> None:
    settings = _tagged(untagged=Settings())
    assert storage_settings.options([(PLUGIN, settings)]) == []
    assert storage_settings.environment([(PLUGIN, settings)]) == {}


def test_a_plugin_without_settings() -> None:
    plugin = Plugin(
        storage_provider=object, storage_object=object, _storage_settings_cls=None, _name="bare"
    )
    assert storage_settings.options([(plugin, TaggedSettings())]) == []
    assert storage_settings.environment([(plugin, None)]) == {}


def test_a_value_without_a_text_is_refused() -> None:
    settings = _tagged(untagged=Settings(host=print))  # type: ignore[arg-type]
    with pytest.raises(GridError, match=r"--storage-toy-host .* storage plugin toy .* Snakefile"):
        storage_settings.options([(PLUGIN, settings)])
