#!/usr/bin/env python3
"""NVIDIA's own Python verifier over minted sets, without a network: for people, and for tests/bench.

    cargo test -p tiltyard-tests --test simulated_nvidia every_file
    python3 tests/peers/nvidia.py TARGET/tmp/simulated_nvidia/one_h100

`--fetch` only makes its environment; `--serve` answers on a line protocol (nvidia_verifier.py beside this). The
packages are fetched after consent, the verifier checked by digest, and kept where the other inputs are.
"""

import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from environment import consent, folder, make  # noqa: E402

WHEELS = {
    "nv-local-gpu-verifier==2.7.3": "27259ce3d828ca102db17f4b70c7b85c1882a55f99153eb706fcb1866db0fe7a",
}
# Versions that the verifier asks for, and of the rest those of November 2026.
BASE = [
    "asn1==2.7.0",
    "certifi==2026.10.19.post1",
    "cffi==2.1.1",
    "cryptography==43.0.1",
    "ecdsa==0.18.0",
    "elementpath==4.8.0",
    "enum-compat==0.0.3",
    "lxml==4.9.4",
    "nvidia-ml-py==12.550.52",
    "pycparser==3.12",
    "PyJWT==2.7.0",
    "pyOpenSSL==24.2.1",
    "signxml==3.2.0",
    "six==1.17.0",
    "urllib3==2.6.3",
    "xmlschema==2.2.3",
]


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: nvidia.py FOLDER | --fetch | --serve")
    home = folder() / "nvidia-peer"
    own, complete = home / "bin" / "python3", home / "complete"
    stamp = json.dumps([WHEELS, BASE], sort_keys=True)
    if not complete.exists() or complete.read_text("ascii") != stamp:
        consent([*WHEELS, *BASE], 14)
        make(home, WHEELS, BASE)
        complete.write_text(stamp, encoding="ascii")
    if sys.argv[1] != "--fetch":
        argument = sys.argv[1] if sys.argv[1].startswith("--") else str(pathlib.Path(sys.argv[1]).resolve())
        # The verifier leaves a log where it runs.
        os.chdir(home)
        os.execv(own, [str(own), str(HERE / "nvidia_verifier.py"), argument])


if __name__ == "__main__":
    main()
