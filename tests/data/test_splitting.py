from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indi.data import Pair, scenes_of, split_pairs
from indi.errors import ConfigError


def pairs_of(names: list[str], folder: str = "clean") -> list[Pair]:
    return [Pair(name, Path(folder) / f"{name}.png") for name in names]


names = st.lists(st.text("abcdef012", min_size=1, max_size=6), min_size=2, max_size=40, unique=True)
shares = st.floats(0.001, 0.999)
seeds = st.integers(0, 2**64)


@given(names, shares, seeds)
def test_each_pair_goes_to_one_side_and_each_side_gets_one(chosen: list[str], validation: float, seed: int) -> None:
    pairs = pairs_of(chosen)
    training, held_out = split_pairs(pairs, validation=validation, seed=seed)
    assert training
    assert held_out
    assert Counter(training) + Counter(held_out) == Counter(pairs)
    assert len(held_out) == min(max(round(validation * len(pairs)), 1), len(pairs) - 1)


@given(names, shares, seeds, st.randoms(use_true_random=False))
def test_order_and_folder_do_not_matter(chosen: list[str], validation: float, seed: int, random: object) -> None:
    shuffled = list(chosen)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first = split_pairs(pairs_of(chosen), validation=validation, seed=seed)
    second = split_pairs(pairs_of(shuffled, "elsewhere"), validation=validation, seed=seed)
    for ours, theirs in zip(first, second, strict=True):
        assert {pair.name for pair in ours} == {pair.name for pair in theirs}
    assert [pair.name for pair in first[0] + first[1]] == sorted(
        chosen, key=lambda name: (name in {pair.name for pair in first[1]}, chosen.index(name))
    )


@given(st.lists(st.sampled_from(["a1", "a2", "b1", "b2", "c1", "c2", "c3"]), unique=True), seeds)
def test_order_does_not_matter_for_scenes_either(chosen: list[str], seed: int) -> None:
    splits = [
        split_pairs(pairs_of(names), validation=0.1, seed=seed, group="^.")[1] for names in (chosen, chosen[::-1])
    ]
    assert set(splits[0]) == set(splits[1])


@given(names, st.data())
def test_a_number_is_met_exactly(chosen: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.integers(0, len(chosen) - 1))
    _, held_out = split_pairs(pairs_of(chosen), validation=wanted, seed=3)
    assert len(held_out) == wanted


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 99)), min_size=2, unique=True), shares, seeds)
def test_scenes_stay_whole(takes: list[tuple[str, int]], validation: float, seed: int) -> None:
    pairs = pairs_of([f"{scene}_{take}" for scene, take in takes])
    training, held_out = split_pairs(pairs, validation=validation, seed=seed, group="^(.)_")
    scenes = [{pair.name[0] for pair in side} for side in (training, held_out)]
    assert not scenes[0] & scenes[1]
    assert len(training) + len(held_out) == len(pairs)
    if len({scene for scene, _ in takes}) > 1:
        assert training
        assert held_out
        smallest = min(Counter(scene for scene, _ in takes).values())
        assert len(held_out) <= max(round(validation * len(pairs)), smallest)


def test_a_seed_is_another_split() -> None:
    pairs = pairs_of([str(number) for number in range(30)])
    splits = {frozenset(pair.name for pair in split_pairs(pairs, validation=3, seed=seed)[1]) for seed in range(20)}
    assert len(splits) > 15


def test_every_pair_is_held_out_equally_often() -> None:
    pairs = pairs_of([str(number) for number in range(10)])
    times = Counter(pair.name for seed in range(1000) for pair in split_pairs(pairs, validation=2, seed=seed)[1])
    assert len(times) == 10
    assert all(abs(number - 200) < 5 * (1000 * 0.2 * 0.8) ** 0.5 for number in times.values())


def test_a_whole_match_names_the_scene_where_there_is_no_group() -> None:
    pairs = pairs_of(["w2s_001_0", "w2s_001_1", "w2s_002_0", "w2s_002_1"])
    training, held_out = split_pairs(pairs, validation=0.5, seed=0, group="w2s_[0-9]+")
    assert {pair.name[:7] for pair in training} ^ {pair.name[:7] for pair in held_out} == {
        "w2s_001",
        "w2s_002",
    }


def test_a_repeated_clean_image_counts_as_the_first() -> None:
    pairs = [*pairs_of(["a", "b"]), Pair("c", Path("c.png"), same_as="a")]
    for seed in range(10):
        training, held_out = split_pairs(pairs, validation=1, seed=seed)
        assert [pair.name for pair in held_out] == ["b"]
        assert [pair.name for pair in training] == ["a", "c"]


def test_a_single_scene_is_all_training() -> None:
    for few in (pairs_of([]), pairs_of(["a"])):
        assert split_pairs(few, validation=0.5, seed=0) == (few, [])
    takes = pairs_of(["a_1", "a_2", "a_3"])
    assert split_pairs(takes, validation=0.5, seed=0, group="^.") == (takes, [])


def test_nothing_is_held_out_for_zero() -> None:
    pairs = pairs_of(["a", "b"])
    assert split_pairs(pairs, validation=0, seed=0) == split_pairs(pairs, validation=0.0, seed=0) == (pairs, [])


@pytest.mark.parametrize("validation", [-1, -0.1, 1.0, 1.5, float("nan"), 2, 3])
def test_a_validation_out_of_range_is_refused(validation: float) -> None:
    with pytest.raises(ConfigError, match=r"validation is .* with 2 pairs"):
        split_pairs(pairs_of(["a", "b"]), validation=validation, seed=0)


@pytest.mark.parametrize(
    ("group", "message"),
    [("(", "no regular expression"), ("^x", "finds nothing in 'a_1'"), ("^a(x)?", "finds nothing in 'a_1'")],
)
def test_a_bad_group_is_refused(group: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_pairs(pairs_of(["a_1", "b_1"]), validation=0.5, seed=0, group=group)


def test_groups_that_share_a_clean_image_are_one_scene() -> None:
    pairs = [
        Pair(name, Path(f"{name}.png"), same_as=same)
        for name, same in (
            ("a_1", None),
            ("a_2", None),
            ("b_1", "a_1"),
            ("b_2", None),
            ("c_1", None),
            ("c_2", "b_2"),
            ("d_1", None),
        )
    ]
    found = scenes_of(pairs, "^(.)")
    assert list(found.values()) == ["a"] * 6 + ["d"]
    training, validation = split_pairs(pairs, validation=0.5, seed=0, group="^(.)")
    assert {pair.name for pair in validation} in ({"d_1"}, {pair.name for pair in pairs[:6]})
    assert len(training) + len(validation) == 7


def test_an_empty_picture_joins_no_stacks() -> None:
    pairs = [
        Pair("a_0001", Path("a.tif"), picture=0),
        Pair("b_0001", Path("b.tif"), picture=0, same_as="a"),
        Pair("b_0002", Path("b.tif"), picture=1),
    ]
    assert list(scenes_of(pairs, None).values()) == ["a", "a", "b"]
    assert list(scenes_of(pairs, "^(.)").values()) == ["a", "a", "b"]
