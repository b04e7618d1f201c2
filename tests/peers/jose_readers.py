"""Reads the tokens on standard input with PyJWT and with jwcrypto; prints what each accepted: claims, or null."""

import importlib.metadata
import json
import sys

import jwt as pyjwt
from jwcrypto import jwk, jwt


def by_pyjwt(asked: dict, case: dict) -> dict:
    keys = {key.key_id: key for key in pyjwt.PyJWKSet.from_dict(asked["jwks"]).keys}
    key = keys[pyjwt.get_unverified_header(case["token"])["kid"]]
    required = {"require": ["exp", "nbf", "iat", "jti", "aud", "iss"]}
    return pyjwt.decode(
        case["token"], key, algorithms=["EdDSA"], audience=case["audience"], issuer=asked["issuer"], options=required
    )


def by_jwcrypto(asked: dict, case: dict) -> dict:
    keys = jwk.JWKSet.from_json(json.dumps(asked["jwks"]))
    wanted = {"aud": case["audience"], "iss": asked["issuer"], "exp": None, "nbf": None, "jti": None}
    token = jwt.JWT(algs=["EdDSA"], check_claims=wanted)
    token.leeway = 0
    token.deserialize(case["token"], keys)
    return json.loads(token.claims)


def answer(read, asked: dict, case: dict) -> dict | None:
    try:
        return read(asked, case)
    # Each library raises types of its own, and jwcrypto others too: any of them is a refusal, and is named.
    except Exception as refusal:  # noqa: BLE001
        print(f"{read.__name__} {case['name']}: {type(refusal).__name__}", file=sys.stderr)
        return None


def main() -> None:
    asked = json.load(sys.stdin)
    answers = {}
    for name, read in (("pyjwt", by_pyjwt), ("jwcrypto", by_jwcrypto)):
        reader = f"{name} {importlib.metadata.version(name)}"
        answers[reader] = [answer(read, asked, case) for case in asked["cases"]]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
