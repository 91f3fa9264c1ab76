"""The settings of a run: what is asked for, over those of the run that is resumed or of the model to start from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from indi.config import Config, find_config, merged, nearest
from indi.errors import ConfigError
from indi.models.checkpoint import Card
from indi.models.runs import CONFIG_FILE

# Where each setting stands in the tree, by its name; ``method`` and ``network`` are rows of their tables.
_PLACES = {
    part if field == "name" else field: (part, field)
    for part, settings in Config()
    for field in type(settings).model_fields
}
_BUDGETS = ("minutes", "iterations")
_FOLDERS = ("clean", "degraded")


def settings_tree(config: str | Path | Mapping[str, Any] | None, **settings: Any) -> dict[str, Any]:
    """Return the settings of a file or tree, with those that are given by name put over them.

    Args:
        config: A TOML or JSON file, or a tree.
        settings: As ``train`` takes them; None is not given.

    Raises:
        ConfigError: The file cannot be read or is neither TOML nor JSON, or a setting is unknown.
    """
    given: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in _PLACES:
            raise ConfigError(f"unknown setting {name!r}; known are {', '.join(_PLACES)}{nearest(name, _PLACES)}")
        part, field = _PLACES[name]
        if value is not None:
            given.setdefault(part, {})[field] = value
    return _one_budget(_resolved(_tree(config)), given)


def _tree(config: str | Path | Mapping[str, Any] | None) -> dict[str, Any]:
    if config is None:
        return {}
    tree = dict(config) if isinstance(config, Mapping) else Config.read(find_config(config))
    for part, values in tree.items():
        if not isinstance(values, Mapping):
            raise ConfigError(f"settings: {part} is {values!r}; put settings under [{part}], each by its name")
    return tree


def settings_of_model(card: Card, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a model's weights were trained with and fit; the kind of noise for its method only."""
    method = card.method.model_dump() | {"conditioned": card.method.build().conditioned}
    if asked.get("method", {}).get("name", card.method.name) != card.method.name:
        del method["noise"], method["share_at_one"]  # which each method has its own of
    data: dict[str, Any] = {"channels": card.channels, "apart": card.apart}
    if card.neighbours:
        data |= {"neighbours": card.neighbours, "neighbours_axis": card.neighbours_axis}
    if card.normalisation is not None and card.normalisation.kind is not None:
        data["normalise"] = card.normalisation.kind
    return {"method": method, "network": card.network.model_dump(), "data": data}


def settings_of_run(run: Path, asked: dict[str, Any], *, resume: bool, under: dict[str, Any]) -> Config:
    """Return the settings: what is asked for, over those of the run that is resumed, or of a new one over ``under``.

    Raises:
        ConfigError: There is no budget, or a setting differs from what the run was begun with.
    """
    begun = resume and (run / CONFIG_FILE).exists()
    before: dict[str, Any] = Config.read(run / CONFIG_FILE) if begun else under
    settings = Config.parse(_one_budget(before, asked), source=str(run) if begun else "settings")
    if begun:
        _check_unchanged(Config.parse(before, source=str(run)), settings, run)
    if settings.training.minutes is None and settings.training.iterations is None:
        where = f"{run}: no run to resume here; to begin one, " if resume and not begun else "no budget; "
        raise ConfigError(f"{where}give minutes or iterations")
    return settings


def _one_budget(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return the trees merged; a budget given over another takes its place, also where it is of the other kind."""
    tree, above = merged(under, {}), _resolved(over)
    if set(_BUDGETS) & above.get("training", {}).keys():
        kept = {name: value for name, value in tree.get("training", {}).items() if name not in _BUDGETS}
        tree["training"] = kept
    return merged(tree, above)


def _resolved(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the tree with whole paths, so that a run finds its images from any folder.

    Raises:
        ConfigError: The name of a folder is not UTF-8.
    """
    data = tree.get("data")
    if not isinstance(data, dict):
        return tree
    given = {name: data.get(name) for name in _FOLDERS}
    paths = {name: str(Path(value).resolve()) for name, value in given.items() if isinstance(value, str | Path)}
    for path in paths.values():
        check_utf8(path)
    return {**tree, "data": {**data, **paths}}


def check_utf8(name: str) -> None:
    """Refuse the name of a file or folder that a run cannot keep.

    Raises:
        ConfigError: It is not UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name!r}: the name is not UTF-8, which a run cannot keep; rename it") from error


def _check_unchanged(before: Config, now: Config, run: Path) -> None:
    """Raise where a setting other than the budget and the place of the images is not what the run was begun with."""
    for part, values in before:
        for name, value in values:
            asked = getattr(getattr(now, part), name)
            is_moved = part == "data" and name in _FOLDERS and value is not None  # the images themselves are compared
            if asked != value and name not in _BUDGETS and not is_moved:
                advice = "Drop the option or use a new run folder"
                raise ConfigError(f"{run}: started with {part}.{name}={value}; cannot resume with {asked}. {advice}")
