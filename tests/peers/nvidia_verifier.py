"""Runs NVIDIA's verifier (nv-local-gpu-verifier) on minted sets; nvidia.py beside this starts it in its environment.

A set is a folder of the simulator's: evidence, manifests, OCSP answers and the two roots, which take the place of
NVIDIA's. Every check of the verifier runs as it is; only its two network calls read from the set instead. It knows
GPUs only, so switches are left out.

    nvidia_verifier.py FOLDER    prints the verifier's log; exit code 0 when all GPUs pass, 1 when not
    nvidia_verifier.py --serve   says `ready`, then answers each line, the path of a set, with one JSON line:
                                 whether all GPUs passed, and the seconds from bytes in memory to that verdict
"""

import base64
import json
import logging
import os
import pathlib
import re
import sys
import time

from cryptography.x509 import ocsp
from OpenSSL import crypto
from verifier import cc_admin, cc_admin_utils
from verifier.config import BaseSettings, BlackwellSettings, HopperSettings
from verifier.utils import format_vbios_version

SETTINGS = {"HOPPER": HopperSettings, "BLACKWELL": BlackwellSettings}
# Request, and the head and the 64 blocks of the response, before the responder's nonce.
OPAQUE_LENGTH_AT = 37 + 8 + 64 * 55 + 32
DRIVER, VBIOS = 3, 6


class Gpu:
    """One row of the evidence file, as the verifier asks for it."""

    def __init__(self, row):
        self.arch = SETTINGS[row["arch"]].GPU_ARCH
        self.report = base64.b64decode(row["evidence"])
        pem = base64.b64decode(row["certificate"]).decode()
        blocks = re.findall("-----BEGIN.*?END CERTIFICATE-----", pem, re.S)
        self.chain = [crypto.load_certificate(crypto.FILETYPE_PEM, block) for block in blocks]
        self.fields = {}
        left = self.report[OPAQUE_LENGTH_AT + 2 : -96]
        while left:
            kind, size = (int.from_bytes(left[at : at + 2], "little") for at in (0, 2))
            self.fields[kind], left = left[4 : 4 + size], left[4 + size :]

    def get_gpu_architecture(self):
        return self.arch

    def get_uuid(self):
        return "simulated"

    def get_driver_version(self):
        return self.fields[DRIVER].rstrip(b"\0").decode()

    def get_vbios_version(self):
        return format_vbios_version(self.fields[VBIOS])

    def get_attestation_report(self):
        return self.report

    def get_attestation_cert_chain(self):
        return self.chain


def asked(one):
    """The certificate that an OCSP request or response is about."""
    return one.issuer_name_hash, one.issuer_key_hash, one.serial_number


class Set:
    """A folder's bytes, read once."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.evidence = (self.folder / "gpu_evidence.json").read_bytes()
        self.manifests = {path.stem: path.read_text() for path in self.folder.glob("*.xml")}
        answers = [path.read_bytes() for path in self.folder.glob("ocsp-*.der")]
        self.answers = {asked(ocsp.load_der_ocsp_response(der)): der for der in answers}

    def answer(self, request_der):
        """The stored answer for the certificate that the request names, parsed as one from the network is."""
        return ocsp.load_der_ocsp_response(self.answers[asked(ocsp.load_der_ocsp_request(request_der))])

    def stand_in(self):
        """Takes the place of the network and of NVIDIA's roots."""
        for settings in (BaseSettings, HopperSettings, BlackwellSettings):
            settings.ROOT_CERT_DIR = str(self.folder)
            settings.RIM_ROOT_CERT = str(self.folder / "rim_root.pem")
            settings.DEVICE_ROOT_CERT = str(self.folder / "device_root.pem")
        utils = cc_admin_utils.CcAdminUtils
        utils.send_ocsp_request = staticmethod(self.answer)
        utils.fetch_rim_file = staticmethod(lambda name: self.manifests[name])
        for module in (cc_admin, cc_admin_utils):
            module.function_wrapper_with_timeout = lambda call, _: call[0](*call[1:-1])

    def passes(self):
        options = dict.fromkeys(["rim_service_url", "ocsp_url", "service_key", "driver_rim", "vbios_rim"])
        # Answers are stored, so they hold no nonce of the asker's.
        options |= {"allow_hold_cert": False, "ocsp_nonce_disabled": True, "claims_version": "3.0"}
        options |= {"verbose": False, "test_no_gpu": False, "user_mode": True}
        rows = json.loads(self.evidence)
        passed, _ = cc_admin.attest(options, rows[0]["nonce"], [Gpu(row) for row in rows])
        return passed


def serve():
    # The verifier prints; what it prints and logs is not on the line, and costs it nothing.
    line = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    logging.disable(logging.CRITICAL)
    sets = {}
    print("ready", file=line)
    for folder in map(str.strip, sys.stdin):
        if folder not in sets:
            sets[folder] = Set(folder)
        sets[folder].stand_in()
        start = time.perf_counter()
        passed = sets[folder].passes()
        seconds = time.perf_counter() - start
        print(json.dumps({"passed": passed, "seconds": seconds}), file=line)


def main():
    if sys.argv[1] == "--serve":
        serve()
        return 0
    one = Set(sys.argv[1])
    one.stand_in()
    return 0 if one.passes() else 1


if __name__ == "__main__":
    sys.exit(main())
