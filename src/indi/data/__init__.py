"""Folders of images to training crops: pairs matched by name, checked, split by scene, and cut.

    match_pairs   two folders -> a report, from names and file headers only
    check_pairs   the same report after every pixel was read
    split_pairs   pairs -> training and validation
    load_pair     one pair -> arrays on one grid
    Crops         pairs -> an endless stream of batches, crop i a pure function of (seed, i)

Nothing is ever paired by its place in a sorted list: a file without a partner of its name is reported, not
used.
"""

from indi.data.dataset import Crops
from indi.data.intensities import measure_normalisation
from indi.data.loading import Pair, decode_pair, enlarge, load_pair
from indi.data.matching import PairReport, match_pairs
from indi.data.splitting import scenes_of, split_pairs
from indi.data.testing import load_test_neighbours, load_test_pair, unusable
from indi.data.validation import LARGEST_FLOAT, check_pairs, digest_of, with_repeats
from indi.data.wording import count, few, what_to_fix

__all__ = [
    "LARGEST_FLOAT",
    "Crops",
    "Pair",
    "PairReport",
    "check_pairs",
    "count",
    "decode_pair",
    "digest_of",
    "enlarge",
    "few",
    "load_pair",
    "load_test_neighbours",
    "load_test_pair",
    "match_pairs",
    "measure_normalisation",
    "scenes_of",
    "split_pairs",
    "unusable",
    "what_to_fix",
    "with_repeats",
]
