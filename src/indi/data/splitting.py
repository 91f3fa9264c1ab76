"""Hold images out for validation, by scene."""

import hashlib
import re
from collections.abc import Sequence

from indi.data.loading import Pair
from indi.data.wording import count
from indi.errors import ConfigError


def split_pairs(
    pairs: Sequence[Pair], *, validation: float, seed: int, group: str | None = None
) -> tuple[list[Pair], list[Pair]]:
    """Split ``pairs`` into training and validation by whole scenes, never by crop.

    A scene is a clean image with all pairs that share it, a stack, or all pairs for which ``group`` finds the same
    text. Scenes are held out in the order of a hash of ``seed`` and their name, so neither the order nor the
    folder of the pairs matters, as long as they fit into the asked-for number; where none fits, the smallest
    scene is.

    Args:
        pairs: in any order, which both answers keep.
        validation: the share (float, 0 to below 1) or number (int) of pairs to hold out. Above 0 and with two
            scenes or more, each side gets one at least; a single scene is all training.
        seed: another seed, another split.
        group: regular expression searched in the pair's name; its first group, or else the whole match, names
            the scene. ``"^(.+)_"`` puts a_1 and a_2 into scene a.

    Returns:
        Pairs for training, pairs for validation.

    Raises:
        ConfigError: ``validation`` is out of range, or ``group`` is no regular expression or finds nothing in
            a name.
    """
    wanted = _held_out_count(len(pairs), validation)
    scenes: dict[str, list[Pair]] = {}
    for pair, scene in scenes_of(pairs, group).items():
        scenes.setdefault(scene, []).append(pair)
    if wanted == 0 or len(scenes) < 2:
        return list(pairs), []
    order = sorted(scenes, key=lambda name: hashlib.blake2b(f"{seed}/{name}".encode(errors="surrogateescape")).digest())
    held_out: set[Pair] = set()
    for scene in order:
        if len(held_out) + len(scenes[scene]) <= wanted:
            held_out.update(scenes[scene])
    if not held_out:
        held_out.update(scenes[min(order, key=lambda name: len(scenes[name]))])
    return [pair for pair in pairs if pair not in held_out], [pair for pair in pairs if pair in held_out]


def scenes_of(pairs: Sequence[Pair], group: str | None) -> dict[Pair, str]:
    """Return the name of each pair's scene; scenes that share a clean image are one.

    Raises:
        ConfigError: ``group`` finds nothing in a name.
    """
    if group is None:
        return {pair: pair.scene for pair in pairs}
    first: dict[str, str] = {}

    def first_of(scene: str) -> str:
        while scene in first:
            scene = first[scene]
        return scene

    names = {}
    for pair in pairs:
        # Of a stack a picture alone goes to the other scene: empty ones would join all stacks.
        is_whole = pair.same_as is None or pair.picture is None
        names[pair] = scene_name(pair.name if is_whole else str(pair.same_as), group)
        if pair.same_as is not None and is_whole:
            here, there = first_of(names[pair]), first_of(scene_name(pair.same_as, group))
            if here != there:
                first[here] = there
    return {pair: first_of(name) for pair, name in names.items()}


def _held_out_count(total: int, validation: float) -> int:
    if isinstance(validation, int):
        if 0 <= validation < max(total, 1):
            return validation
    elif 0 <= validation < 1:
        return min(max(round(validation * total), 1), total - 1) if validation > 0 else 0
    raise ConfigError(
        f"validation is {validation} with {count(total, 'pair')}; give a share from 0 to below 1, "
        "or a number below that of the pairs"
    )


def scene_name(name: str, group: str) -> str:
    """Return what ``group`` finds in a name: its first group, or else the whole match.

    Raises:
        ConfigError: it is no regular expression or finds nothing.
    """
    try:
        found = re.search(group, name)
    except re.error as error:
        raise ConfigError(f"group {group!r} is no regular expression ({error}); fix it") from error
    scene: str | None = found and found.group(1 if found.re.groups else 0)
    if not scene:
        raise ConfigError(f"group {group!r} finds nothing in {name!r}; give one that names the scene of each image")
    return scene
