#!/usr/bin/env python3
"""Readers of result tokens by other authors: PyJWT, jwcrypto (PyPI) and jose (npm), on the golden token and on forgeries.

Each reader must accept the golden token with the claims that it holds, and refuse each forgery. The packages are
fetched after consent, checked by digest, and kept where the other inputs are (`tests/inputs/fetch.py`).
"""

import base64
import hashlib
import hmac
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from environment import consent, demand, folder, make, run  # noqa: E402

VECTORS = HERE.parents[1] / "attestation" / "tests" / "vectors" / "token"
WHEELS = {
    "pyjwt==2.15.1": "42d59d631f7768a1028a64c7ff581a9bf7519804daf91fc5b6c56e30eec5e193",
    "jwcrypto==1.6.1": "77e856818e514cb3d64a1043b6885a7d52f5cc37773f5e944de02103c8d3a54f",
}
# What both wheels build on; chosen by platform, so pinned by version.
BASE = ["cryptography==50.0.2", "typing_extensions==4.16.0"]
JOSE = ("jose@6.2.17", "367aaae5b1529eeac73c77999283dd095f7d866afbd492e36634b8c7e93f06fc")

AUDIENCE, ISSUER = "https://auditor.example", "https://broker.example"


def url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def part(text: str) -> dict:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def cases() -> list[dict]:
    """The golden token and forgeries of it, each with what a reader must say. The clock is the machine's own."""
    token = (VECTORS / "token_endless.jwt").read_text("ascii").strip()
    ended = (VECTORS / "token.jwt").read_text("ascii").strip()
    jwk = json.loads((VECTORS / "jwks.json").read_text("ascii"))["keys"][0]
    head, body, signature = token.split(".")
    other = url(json.dumps(part(body) | {"aud": "https://another.example"}).encode())
    none = url(json.dumps({"alg": "none", "kid": jwk["kid"], "typ": "eat+jwt"}).encode())
    hs256 = url(json.dumps({"alg": "HS256", "kid": jwk["kid"], "typ": "eat+jwt"}).encode())
    secret = base64.urlsafe_b64decode(jwk["x"] + "=")
    tag = url(hmac.new(secret, f"{hs256}.{body}".encode(), hashlib.sha256).digest())
    stranger = url(json.dumps(part(head) | {"kid": "00" * 32}).encode())

    def case(name: str, text: str, accept: bool = False, audience: str = AUDIENCE) -> dict:
        return {"name": name, "token": text, "accept": accept, "audience": audience}

    return [
        case("golden token", token, accept=True),
        case("other claims under the signature", f"{head}.{other}.{signature}"),
        case("a signature of zeros", f"{head}.{body}.{url(bytes(64))}"),
        case("no signature", f"{head}.{body}."),
        case("algorithm none", f"{none}.{body}."),
        case("HMAC under the public key", f"{hs256}.{body}.{tag}"),
        case("an unknown key", f"{stranger}.{body}.{signature}"),
        case("another audience", token, audience="https://another.example"),
        case("a lease that has ended", ended),
    ]


def fetch(home: pathlib.Path) -> None:
    """An environment with both wheels, and the npm package beside it; its stamp is written last."""
    make(home, WHEELS, BASE)
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        run(["npm", "pack", "--silent", JOSE[0]], scratch)
        (package,) = pathlib.Path(scratch).glob("*.tgz")
        demand(package, JOSE[1])
        with tarfile.open(package) as archive:
            archive.extractall(home / "jose", filter="data")
    (home / "complete").write_text(stamp(), encoding="ascii")


def stamp() -> str:
    return json.dumps([WHEELS, BASE, JOSE], sort_keys=True)


def main() -> None:
    home = folder() / "jose-peers"
    complete = home / "complete"
    if not complete.exists() or complete.read_text("ascii") != stamp():
        consent([*WHEELS, *BASE, JOSE[0]], 6)
        fetch(home)
    asked = {"issuer": ISSUER, "jwks": json.loads((VECTORS / "jwks.json").read_text("ascii")), "cases": cases()}
    expected = part(asked["cases"][0]["token"].split(".")[1])
    readers = [
        [str(home / "bin" / "python3"), str(HERE / "jose_readers.py")],
        ["node", str(HERE / "jose_reader.mjs"), str(home / "jose" / "package" / "dist" / "webapi" / "index.js")],
    ]
    wrong = 0
    for command in readers:
        done = subprocess.run(command, input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=True)
        for reader, answers in json.loads(done.stdout).items():
            for case, claims in zip(asked["cases"], answers, strict=True):
                same = claims == (expected if case["accept"] else None)
                wrong += not same
                verdict = "accepted" if claims is not None else "refused"
                print(f"{'ok' if same else 'WRONG':5} {reader:16} {case['name']:34} {verdict}")
    if wrong:
        sys.exit(f"peers: {wrong} answers are not the expected ones")


if __name__ == "__main__":
    main()
