"""NVIDIA's own Python verifier over one minted set, without a network.

    python3 -m venv V && V/bin/pip install nv-local-gpu-verifier==2.7.3
    cargo test -p tiltyard-tests --test simulated_nvidia every_file
    V/bin/python peer.py TARGET/tmp/simulated_nvidia/one_h100

The folder is one that `files.rs` wrote: evidence, manifests, OCSP answers and the two roots, which take the place of
NVIDIA's. Every check of the verifier runs as it is; only its two network calls read from the folder instead. It knows
GPUs only, so switches are left out. Prints the verifier's log; exit code 0 when all GPUs pass, 1 when not.
"""

import base64
import json
import pathlib
import re
import sys

from cryptography.x509 import ocsp
from OpenSSL import crypto
from verifier import cc_admin, cc_admin_utils
from verifier.config import BaseSettings, BlackwellSettings, HopperSettings
from verifier.utils import format_vbios_version

FOLDER = pathlib.Path(sys.argv[1])
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


def answer(request_der):
    """The stored answer for the certificate that the request names."""
    request = ocsp.load_der_ocsp_request(request_der)
    for path in FOLDER.glob("ocsp-*.der"):
        found = ocsp.load_der_ocsp_response(path.read_bytes())
        names = [(one.issuer_name_hash, one.issuer_key_hash, one.serial_number) for one in (request, found)]
        if names[0] == names[1]:
            return found
    raise LookupError(f"no answer for {request.serial_number:x}")


def main():
    for settings in (BaseSettings, HopperSettings, BlackwellSettings):
        settings.ROOT_CERT_DIR = str(FOLDER)
        settings.RIM_ROOT_CERT = str(FOLDER / "rim_root.pem")
        settings.DEVICE_ROOT_CERT = str(FOLDER / "device_root.pem")
    utils = cc_admin_utils.CcAdminUtils
    utils.send_ocsp_request = staticmethod(answer)
    utils.fetch_rim_file = staticmethod(lambda name: (FOLDER / f"{name}.xml").read_text())
    for module in (cc_admin, cc_admin_utils):
        module.function_wrapper_with_timeout = lambda call, _: call[0](*call[1:-1])
    options = dict.fromkeys(["rim_service_url", "ocsp_url", "service_key", "driver_rim", "vbios_rim"])
    # Answers are stored, so they hold no nonce of the asker's.
    options |= {"allow_hold_cert": False, "ocsp_nonce_disabled": True, "claims_version": "3.0"}
    options |= {"verbose": False, "test_no_gpu": False, "user_mode": True}
    rows = json.loads((FOLDER / "gpu_evidence.json").read_text())
    passed, _ = cc_admin.attest(options, rows[0]["nonce"], [Gpu(row) for row in rows])
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
