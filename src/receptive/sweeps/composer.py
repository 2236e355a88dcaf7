"""Composes the points of a sweep, as Hydra would and many times faster."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from receptive import config as configs


class Composer:
    """Gives each point's frozen config: what `config.freeze` makes of Hydra's composition of its overrides.

    Hydra first reads the files that the groups choose, then sets values in what they give. Points that choose the
    same groups share the first step; the second is done by Hydra's own function on a copy.

    Args:
        loader: Hydra's.
        master: the config that Hydra composed for the sweep.

    Attributes:
        compositions: how often Hydra composed.
    """

    def __init__(self, loader: ConfigLoaderImpl, master: DictConfig) -> None:
        self._loader = loader
        self._master = master
        self._parser = OverridesParser.create()
        # hydra.searchpath, among these, decides which groups there are
        lines = [str(line) for line in master.hydra.overrides.hydra]
        self._files = loader._parse_overrides_and_create_caching_repo(master.hydra.job.config_name, lines)[1]
        self._parsed: dict[str, tuple[Override, bool]] = {}
        self._bases: dict[tuple[str, ...], bytes | Exception] = {}
        self._explained: dict[str, str] = {}
        self.compositions = 0

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The frozen config of a point, a copy of its own.

        Raises:
            HydraException, OmegaConfBaseException, ValueError: what Hydra raises.
        """
        groups, values = self.parted(overrides)
        config = self.base(groups)
        self.set_values(values, config)
        OmegaConf.clear_cache(config)
        return configs.freeze_in_place(config)

    def set_values(self, overrides: list[Override], config: DictConfig) -> None:
        """Set values in what `base` gave, as Hydra does; raises what Hydra raises."""
        self._loader._apply_overrides_to_config(overrides, config)

    def explain(self, error: Exception, overrides: Sequence[str]) -> str:
        """The words that a single run has for what `compose` raised; each error is thought about once."""
        text = f"{type(error).__name__} {error}"
        if text not in self._explained:
            self._explained[text] = configs.explain(error, lambda: self._known_keys(overrides))
        return self._explained[text]

    def _known_keys(self, overrides: Sequence[str]) -> list[str]:
        """Those of what the groups choose; the master's where the groups are at fault."""
        try:
            config = self.base(self.parted(overrides)[0])
        except (HydraException, OmegaConfBaseException, ValueError):
            config = OmegaConf.masked_copy(self._master, [str(key) for key in self._master if key != "hydra"])
        return configs.dotted_keys(config)

    def parted(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], list[Override]]:
        """The overrides that Hydra has to compose with, and those that set values afterwards, each in their order."""
        try:
            parsed = [(line, *self._parse(line)) for line in overrides]
        except HydraException:  # let Hydra say it of all of them
            return tuple(overrides), []
        if any(not sets_value and not self._chooses_group(override) for _, override, sets_value in parsed):
            return tuple(overrides), []
        groups = tuple(line for line, _, sets_value in parsed if not sets_value)
        return groups, [override for _, override, sets_value in parsed if sets_value]

    def _parse(self, line: str) -> tuple[Override, bool]:
        """An override, and whether it sets, adds or deletes a value outside of hydra's own config."""
        if line not in self._parsed:
            override = self._parser.parse_overrides([line])[0]
            ours = override.key_or_group.partition(".")[0].partition("/")[0] != "hydra"
            plain = ours and override.package is None and not override.is_sweep_override()
            sets_value = plain and (isinstance(override.value(), dict) or not self._chooses_group(override))
            self._parsed[line] = override, sets_value
        return self._parsed[line]

    def _chooses_group(self, override: Override) -> bool:
        return not override.is_sweep_override() and self._files.group_exists(override.key_or_group)

    def base(self, overrides: tuple[str, ...]) -> DictConfig:
        """A copy of what Hydra composes with these, without hydra's own config; its error again where it failed."""
        if overrides not in self._bases:
            self._bases[overrides] = self._composed(overrides)
        base = self._bases[overrides]
        if isinstance(base, Exception):
            raise base
        copied: DictConfig = pickle.loads(base)  # faster than a deep copy
        return copied

    def _composed(self, overrides: tuple[str, ...]) -> bytes | Exception:
        self.compositions += 1
        try:
            config = self._loader.load_sweep_config(self._master, list(overrides))
        except Exception as error:
            return error.with_traceback(None)
        with open_dict(config):
            del config["hydra"]
        return pickle.dumps(config, pickle.HIGHEST_PROTOCOL)
