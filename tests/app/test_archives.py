"""Archives from strangers: nothing leaves the folder, nothing grows without bound, and what is wrong is a sentence."""

import os
import stat
import zipfile
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from indi.app import archives
from indi.app.archives import unpack
from indi.app.session import safe_name
from indi.errors import DataError
from indi.io import Image, write


def packed(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_images_come_out_flat_and_the_rest_stays_in(tmp_path: Path) -> None:
    members = [("a/1.png", b"one"), ("b/2.TIF", b"two"), ("notes.txt", b"no"), ("__MACOSX/a/._1.png", b"no")]
    archive = packed(tmp_path / "x.zip", *members, (".hidden.png", b"no"), ("c/", b""))
    assert unpack(archive, tmp_path / "out") == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {"1.png": b"one", "2.TIF": b"two"}


def test_each_image_is_decoded_where_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which can be ended; whoever reads it again knows that it can be read."""
    write(tmp_path / "one.png", Image(np.zeros((4, 5), np.uint8)))
    tifffile.imwrite(tmp_path / "two.tif", np.zeros((2, 4, 5), np.uint8), photometric="minisblack")
    members = [(name, (tmp_path / name).read_bytes()) for name in ("one.png", "two.tif")]
    decoded: list[object] = []
    monkeypatch.setattr(archives, "read", lambda path: decoded.append(path.name))
    monkeypatch.setattr(archives, "read_picture", lambda path, number: decoded.append((path.name, number)))
    unpack(packed(tmp_path / "x.zip", *members, ("broken.png", b"no")), tmp_path / "out")
    assert decoded == ["one.png", ("two.tif", 0), ("two.tif", 1)]


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/etc/evil.png", "C:\\evil.png", "a/..\\..\\evil.png", "a\\b/../evil.png"]
)
def test_no_name_leads_out(tmp_path: Path, name: str) -> None:
    unpack(packed(tmp_path / "x.zip", (name, b"x")), tmp_path / "deep" / "out")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    (path,) = (tmp_path / "deep" / "out").iterdir()
    assert path.name == "evil.png"


@pytest.mark.medium
@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_a_safe_name_is_one_name(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert len(safe) <= 100
    assert not safe.startswith(".")
    assert Path(safe).name == safe
    assert not set(safe) & set('/\\:<>"|?*\0\n')


def test_a_link_is_a_small_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    member = zipfile.ZipInfo("link.png")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(member, os.fsencode(secret))
    unpack(tmp_path / "x.zip", tmp_path / "out")
    assert not (tmp_path / "out" / "link.png").is_symlink()
    assert (tmp_path / "out" / "link.png").read_bytes() == os.fsencode(secret)


def test_what_unpacks_to_too_much_is_stopped_whatever_it_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 2**21)
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("bomb.png", bytes(2**24))
    with pytest.raises(DataError, match=r"x\.zip: holds more than .* fewer images"):
        unpack(archive, tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) <= 2**21


def test_too_many_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_FILES", 2)
    archive = packed(tmp_path / "x.zip", *((f"{number}.png", b"x") for number in range(3)))
    with pytest.raises(DataError, match="holds 3 images; give 2 at most"):
        unpack(archive, tmp_path / "out")


def test_what_is_wrong_is_a_sentence(tmp_path: Path) -> None:
    whole = packed(tmp_path / "x.zip", ("1.png", b"abc" * 100)).read_bytes()
    encrypted = bytearray(whole)
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        encrypted[whole.index(signature) + place] |= 1
    flipped = bytearray(whole)
    flipped[60] ^= 255
    for content, words in {
        b"no archive": "cannot be unpacked",
        whole[:-30]: "cannot be unpacked",
        bytes(encrypted): "encrypted",
        bytes(flipped): "cannot be unpacked",
    }.items():
        (tmp_path / "y.zip").write_bytes(content)
        with pytest.raises(DataError, match=words) as caught:
            unpack(tmp_path / "y.zip", tmp_path / "out")
        assert "\n" not in str(caught.value)
        for path in (tmp_path / "out").iterdir():
            path.unlink()
    with pytest.raises(DataError, match="holds no images"):
        unpack(packed(tmp_path / "z.zip", ("readme.txt", b"")), tmp_path / "out")
    with pytest.raises(DataError, match=r"two images named 1\.png"):
        unpack(packed(tmp_path / "z.zip", ("a/1.png", b""), ("b/1.png", b"")), tmp_path / "out")


def test_small_files_of_enormous_pictures_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.png", Image(np.zeros((30, 40), np.uint8)))
    picture = (tmp_path / "a.png").read_bytes()
    archive = packed(tmp_path / "x.zip", *[(f"{number}.png", picture) for number in range(5)])
    monkeypatch.setattr(archives, "MOST_TOGETHER", 30 * 40 * 4)
    with pytest.raises(DataError, match=r"x\.zip: holds more than 0 megapixels"):
        unpack(archive, tmp_path / "out")
    monkeypatch.setattr(archives, "MOST_PIXELS", 30 * 40 - 1)
    with pytest.raises(DataError, match=r"0\.png: 0 megapixels; pictures of up to"):
        unpack(archive, tmp_path / "again")


@pytest.mark.parametrize("limit", ["MOST_BYTES", "MOST_TOGETHER"])
def test_nothing_of_a_refused_archive_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    write(tmp_path / "a.png", Image(np.zeros((30, 40), np.uint8)))
    picture = (tmp_path / "a.png").read_bytes()
    archive = packed(tmp_path / "x.zip", *[(f"{number}.png", picture) for number in range(5)])
    monkeypatch.setattr(archives, limit, 3 * (len(picture) if limit == "MOST_BYTES" else 30 * 40))
    with pytest.raises(DataError, match="holds more than"):
        unpack(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_names_are_told_apart_and_meet_whatever_packed_them(tmp_path: Path) -> None:
    names = ["a(1).png", "a[1].png", "a{1}.png", "a+b,c=d.png"]
    assert unpack(packed(tmp_path / "x.zip", *((name, b"x") for name in names)), tmp_path / "out") == 4
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(names)
    assert safe_name(normalize("NFD", "caf\u00e9.png")) == normalize("NFC", "caf\u00e9.png")
