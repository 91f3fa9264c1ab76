"""Make a release: the version, the changelog and the citation in step, to be committed and tagged.

    python .github/release.py 0.2.0

The heading "## 0.2.0 (unreleased)" of the changelog, which collects what changes, becomes that of today; a new one for
what comes next is left to whoever writes the first line of it. Nothing is committed.
"""

import argparse
import datetime
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def release(version: str, root: Path, today: datetime.date) -> None:
    """Write a version into the files below ``root``.

    Raises:
        ValueError: It is not X.Y.Z, or the changelog has no unreleased heading of it.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"{version}: a version is X.Y.Z")
    changes, begun = (root / "CHANGELOG.md").read_text(encoding="utf-8"), f"## {version} (unreleased)"
    if begun not in changes:
        raise ValueError(f"CHANGELOG.md: no heading {begun!r}; write what has changed below one")
    edits = {
        "CHANGELOG.md": changes.replace(begun, f"## {version} ({today})"),
        "src/indi/version.py": re.sub(r'"[^"]+"(?=\n$)', f'"{version}"', _text(root / "src/indi/version.py")),
        "CITATION.cff": re.sub(r"(?m)^version: .*$", f"version: {version}", _text(root / "CITATION.cff")),
    }
    for name, text in edits.items():
        (root / name).write_text(text, encoding="utf-8")


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version")
    wanted = parser.parse_args().version
    try:
        release(wanted, ROOT, datetime.date.today())
    except ValueError as error:
        sys.exit(str(error))
    print(f"now: git commit -am 'Release {wanted}' && git tag v{wanted} && git push --follow-tags")
