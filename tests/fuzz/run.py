#!/usr/bin/env python3
"""Runs every fuzz target in turn: `run.py SECONDS [TARGET...]`, `run.py --keep` for the corpus of the repository.

Each target starts from its seeds, from the corpus that is kept in the repository and from what earlier runs found
(target/fuzz/TARGET/found). Before that it reads the costly inputs at the parsers' own limits. An input over 1 s or
512 MiB is a finding, as is a panic. Figures go to target/fuzz/summary.json. Exit: 0 nothing found, 1 something found or broken, 2 usage, 130 stopped by Ctrl-C.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "target" / "fuzz"
PROGRAM = OUT / "build" / "release" / "tiltyard-fuzz"
# Processor time, so that a busy machine finds nothing; what hangs is ended by the clock.
LIMIT_S = 1
HANGS_S = 10
LIMIT_MIB = 512
# What may be kept of one target, so that all stay under 3 MiB; `replay.rs` asserts both bounds.
KEPT_BYTES = 180 * 1024
KEPT_FILE_BYTES = 32 * 1024
KEPT_FILES = 200
# Exit codes of libFuzzer.
FINDINGS = {70: "over %d s" % HANGS_S, 71: "over %d MiB" % LIMIT_MIB, 76: "leak", 77: "panic"}
STATUS = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+)")


def usage(problem: str) -> None:
    print(f"fuzz: {problem}\n  make fuzz SECONDS=60                   a minute for each target\n"
          f"  make fuzz SECONDS=60 TARGETS='snp tdx'  for these alone", file=sys.stderr)
    sys.exit(2)


def build() -> None:
    compiler = os.environ.get("CXX", "c++")
    if not shutil.which(compiler):
        sys.exit(f"fuzz: no C++ compiler ({compiler})\n  install g++; libFuzzer is compiled from source")
    environment = dict(os.environ, RUSTC_WRAPPER=str(HERE / "instrument"), CARGO_TARGET_DIR=str(OUT / "build"))
    command = ["cargo", "build", "--locked", "--release", "--manifest-path", str(HERE / "Cargo.toml")]
    if subprocess.run(command, env=environment, check=False).returncode:
        sys.exit("fuzz: the targets do not compile\n  an old lock file is renewed by: cargo update --workspace --manifest-path tests/fuzz/Cargo.toml")


def targets() -> dict[str, int]:
    """Name and longest mutated input of each."""
    lines = subprocess.run([PROGRAM], capture_output=True, text=True, check=True).stdout.split("\n")
    return {name: int(limit) for name, limit in (line.split() for line in lines if line)}


def prepare(name: str) -> pathlib.Path:
    """Writes seeds, costly inputs and dictionary; the folder of everything about this target."""
    home = OUT / name
    for inner in ("seeds", "costly"):
        shutil.rmtree(home / inner, ignore_errors=True)
    (home / "found").mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, TILTYARD_FUZZ=name, TILTYARD_FUZZ_SEEDS=str(home))
    made = subprocess.run([PROGRAM], env=environment, capture_output=True, text=True, check=False)
    if made.returncode:
        sys.exit(f"fuzz: {name}: no seeds\n{made.stderr.strip()[-800:]}")
    return home


def command(name: str, home: pathlib.Path, longest: int, *more: str) -> tuple[list[str], dict[str, str]]:
    (home / "slowest").unlink(missing_ok=True)
    environment = dict(os.environ, TILTYARD_FUZZ=name, TILTYARD_FUZZ_SLOWEST=str(home / "slowest"))
    options = [f"-max_len={longest}", f"-timeout={HANGS_S}", f"-rss_limit_mb={LIMIT_MIB}",
               f"-malloc_limit_mb={LIMIT_MIB}", f"-artifact_prefix={home}/failed-", "-print_final_stats=1", "-reload=0"]
    if (home / "words").read_text():
        options.append(f"-dict={home / 'words'}")
    return [str(PROGRAM), *options, *more], environment


def number(log: str, what: str) -> int:
    found = re.findall(rf"stat::{what}:\s+(\d+)", log)
    return int(found[-1]) if found else 0


def slowest(home: pathlib.Path) -> float:
    """Milliseconds of the slowest input, as the program wrote them."""
    try:
        return int((home / "slowest").read_text().split()[0]) / 1000
    except (OSError, ValueError, IndexError):
        return 0.0


def costly(name: str, home: pathlib.Path) -> dict:
    """The inputs at the parser's own limits, each once."""
    inputs = sorted((home / "costly").iterdir())
    words, environment = command(name, home, max((path.stat().st_size for path in inputs), default=0))
    if not inputs:
        # Without a file to read it would fuzz.
        return {"executions": 0, "peak_mib": 0, "slowest_ms": 0.0, "finding": None, "input": None}
    done = subprocess.run([*words, *map(str, inputs)], env=environment, capture_output=True, text=True, errors="replace", check=False)
    (home / "log-costly").write_text(done.stderr)
    return outcome(done.returncode, done.stderr, home)


def outcome(code: int, log: str, home: pathlib.Path) -> dict:
    """What one run came to. libFuzzer looks at time and memory once a second; here both are held to their bounds."""
    took, peak = slowest(home), number(log, "peak_rss_mb")
    artefact = re.findall(r"Test unit written to (\S+)", log)
    running = re.findall(r"Running: (\S+)", log)
    finding = FINDINGS.get(code, f"exit code {code}") if code else None
    if not finding and took > 1000 * LIMIT_S:
        finding = f"over {LIMIT_S} s"
    if not finding and peak > LIMIT_MIB:
        finding = f"over {LIMIT_MIB} MiB"
    if finding == f"over {LIMIT_S} s":
        artefact = [str(home / "slowest-input")]
    found = (artefact or running or [None])[-1] if finding else None
    return {"executions": number(log, "number_of_executed_units"), "peak_mib": peak, "slowest_ms": round(took, 1),
            "finding": finding, "input": found and os.path.relpath(found, ROOT)}


def report(name: str, row: dict, log: str) -> None:
    tail = [line for line in log.splitlines() if "panicked at" in line or "ERROR" in line]
    print(f"{name}: {row['finding']}\n  " + "\n  ".join(tail), file=sys.stderr)
    print(f"  again: TILTYARD_FUZZ={name} {os.path.relpath(PROGRAM)} {row['input'] or ''}", file=sys.stderr, flush=True)


def fuzz(name: str, longest: int, seconds: int) -> dict:
    home = prepare(name)
    limits = costly(name, home)
    if limits["finding"]:
        report(name, limits, (home / "log-costly").read_text())
    words, environment = command(name, home, longest, f"-max_total_time={seconds}")
    words += [str(folder) for folder in (home / "found", HERE / "corpus" / name, home / "seeds") if folder.is_dir()]
    live = sys.stderr.isatty()
    lines, stopped, began = [], False, time.monotonic()
    child = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, errors="replace")
    while True:
        try:
            line = child.stderr.readline()
        except KeyboardInterrupt:
            # libFuzzer is in the same group: it stops too, and then says what it did.
            stopped = True
            continue
        if not line:
            break
        lines.append(line)
        status = STATUS.match(line)
        if status and live:
            runs, edges, _ = status.groups()
            print(f"\r{name:12} {time.monotonic() - began:5.0f} s of {seconds}  {runs:>9} runs  {edges:>6} edges", end="", file=sys.stderr)
    code = child.wait()
    log = "".join(lines)
    (home / "log").write_text(log)
    seen = STATUS.findall(log)
    row = {"target": name, "seconds": round(time.monotonic() - began, 1), **outcome(0 if stopped else code, log, home),
           "per_second": number(log, "average_exec_per_sec"), "edges": int(seen[-1][1]) if seen else 0,
           "features": int(seen[-1][2]) if seen else 0, "new_inputs": number(log, "new_units_added"), "costly": limits}
    if live:
        print("\r" + " " * 72 + "\r", end="", file=sys.stderr)
    print(f"{name:12} {row['seconds']:7.1f} s  {row['executions']:>10} runs  {row['edges']:>6} edges  {row['peak_mib']:>4} MiB", file=sys.stderr, flush=True)
    if row["finding"]:
        report(name, row, log)
    if stopped:
        row["stopped"] = True
    return row


def table(rows: list[dict]) -> str:
    head = ["target", "seconds", "executions", "per_second", "edges", "peak_mib", "slowest_ms", "costly_mib", "costly_ms", "finding"]
    flat = [row | {"costly_mib": row["costly"]["peak_mib"], "costly_ms": row["costly"]["slowest_ms"],
                   "finding": row["finding"] or row["costly"]["finding"]} for row in rows]
    cells = [head] + [["-" if row[key] is None else str(row[key]) for key in head] for row in flat]
    widths = [max(len(line[at]) for line in cells) for at in range(len(head))]
    text = ["  ".join(word.ljust(width) if at == 0 else word.rjust(width) for at, (word, width) in enumerate(zip(line, widths))) for line in cells]
    return "\n".join(text) + f"\n{sum(row['executions'] for row in rows)} executions in {sum(row['seconds'] for row in rows):.0f} s"


def keep(name: str, longest: int) -> None:
    """Replaces the kept inputs by a smallest set that reaches as much; those with telling names stay."""
    home, kept = prepare(name), HERE / "corpus" / name
    kept.mkdir(parents=True, exist_ok=True)
    chosen = home / "chosen"
    shutil.rmtree(chosen, ignore_errors=True)
    chosen.mkdir()
    words, environment = command(name, home, longest, "-set_cover_merge=1")
    words += [str(folder) for folder in (chosen, home / "found", kept, home / "seeds")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        sys.exit(f"fuzz: {name}: the corpus could not be merged\n{done.stderr[-800:]}")
    choose(name, home, kept)


def choose(name: str, home: pathlib.Path, kept: pathlib.Path) -> None:
    """Of what was chosen, as much as may be kept: short inputs first, and of very many a share of every length."""
    seeds = {path.read_bytes() for path in (home / "seeds").iterdir()}
    inputs = [path for path in (home / "chosen").iterdir() if path.stat().st_size <= KEPT_FILE_BYTES and path.read_bytes() not in seeds]
    inputs.sort(key=lambda path: (path.stat().st_size, path.name))
    share = inputs if len(inputs) <= KEPT_FILES else [inputs[at * len(inputs) // KEPT_FILES] for at in range(KEPT_FILES)]
    for path in kept.iterdir():
        if re.fullmatch(r"[0-9a-f]{40}", path.name):
            path.unlink()
    total = count = 0
    for path in share:
        size = path.stat().st_size
        if total + size <= KEPT_BYTES:
            shutil.copyfile(path, kept / path.name)
            total, count = total + size, count + 1
    print(f"{name:12} {count} of {len(inputs)} inputs kept, {total} bytes", file=sys.stderr)


def main() -> int:
    words = sys.argv[1:]
    keeping = words[:1] == ["--keep"]
    if not words or not words[0]:
        usage("how many seconds for each target?")
    if not keeping and (not words[0].isascii() or not words[0].isdigit() or int(words[0]) == 0):
        usage(f"SECONDS is a whole number of seconds, 1 or more, not {words[0]!r}")
    build()
    known = targets()
    asked = words[1:] or list(known)
    for name in asked:
        if name not in known:
            usage(f"no target is called {name}; there are {' '.join(known)}")
    if keeping:
        for name in asked:
            keep(name, known[name])
        return 0
    rows: list[dict] = []
    try:
        for name in asked:
            rows.append(fuzz(name, known[name], int(words[0])))
            summary = {"limit_s": LIMIT_S, "limit_mib": LIMIT_MIB, "seconds_each": int(words[0]), "targets": rows,
                       "executions": sum(row["executions"] for row in rows)}
            (OUT / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
            if rows[-1].get("stopped"):
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        print("\nfuzz: stopped; what ran so far:", file=sys.stderr)
        print(table(rows))
        return 128 + signal.SIGINT
    print(table(rows))
    return 1 if any(row["finding"] or row["costly"]["finding"] for row in rows) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
