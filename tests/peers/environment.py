"""A Python environment for peers from PyPI: fetched after consent, pinned, kept where the other inputs are."""

import os
import pathlib
import shutil
import sys
import tempfile
import venv

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "inputs"))
from fetch import demand, folder, run  # noqa: E402


def consent(missing: list[str], megabytes: int) -> None:
    print(f"peers: to be fetched, about {megabytes} MB in all: " + ", ".join(missing), file=sys.stderr)
    if os.environ.get("CI") == "true":
        return
    if not sys.stdin.isatty():
        sys.exit("peers: nobody is at the terminal to agree to the fetch\n  run this at a terminal, or set CI=true")
    if input(f"fetch them now into {folder()}? [Y/n] ").strip().lower() not in ("", "y", "yes"):
        sys.exit("peers: not fetched")


def make(home: pathlib.Path, wheels: dict[str, str], base: list[str]) -> str:
    """Makes the environment `home` anew: `wheels` by digest, and what they build on by version. Gives its Python.

    What they build on is chosen by platform, so it has no one digest.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(home, ignore_errors=True)
    own = str(home / "bin" / "python3")
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        pinned = []
        for name, digest in wheels.items():
            target = pathlib.Path(scratch) / name
            run([*pip, name, "-d", str(target)], scratch)
            (wheel,) = target.glob("*.whl")
            demand(wheel, digest)
            pinned.append(str(wheel))
        venv.create(home, with_pip=True)
        run([own, "-m", "pip", "install", "--quiet", "--only-binary=:all:", *base], scratch)
        run([own, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", *pinned], scratch)
    return own
