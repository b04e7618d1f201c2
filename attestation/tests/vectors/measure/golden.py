#!/usr/bin/env python3
"""Writes golden.json: what calculators other than ours say.

    python3 -m venv venv && venv/bin/pip install sev-snp-measure==0.0.13 virt-firmware==26.10 pefile==2024.8.26
    venv/bin/python golden.py > golden.json

SNP launch digests, ID block and key digest come from sev-snp-measure, Authenticode digests from virt-firmware.
No package calculates MRTD or the run-time registers; those rows are a second implementation, written here from
Intel's text (TDX module base architecture 348549, virtual firmware design guide 344991) and QEMU's loader.
The synthetic files are built here and, separately, in tests/measure/synthetic.rs; their SHA-256 must agree.
"""

import contextlib
import hashlib
import io
import itertools
import json
import pathlib
import struct
import sys
import tempfile
import uuid

import pefile
from cryptography.hazmat.primitives.asymmetric import ec
from sevsnpmeasure import guest, id_block, vcpu_types
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vmm_types import VMMType
from virt.peutils.pesign import pe_authenticode_hash

HERE = pathlib.Path(__file__).parent
PAGE = 4096
FOUR_GIB = 1 << 32


def stream(label: str, length: int) -> bytes:
    """SHA-256(label || counter), little-endian u32 counter, cut to length."""
    blocks = (hashlib.sha256(label.encode() + struct.pack("<I", i)).digest() for i in itertools.count())
    out = bytearray()
    while len(out) < length:
        out += next(blocks)
    return bytes(out[:length])


# Synthetic firmware: a stream, with metadata tables at fixed distances from the end and a GUID table.

FOOTER = "96b582de-1fb2-45f7-baea-a366c55a082d"
RESET = "00f771de-1a7e-4fcb-890e-68c77e2fb44e"
SECRET = "4c2eb361-7d9b-4cc3-8081-127c90d3d294"
HASHES = "7255371f-3a3b-4b04-927b-1da6efa8d454"
SEV = "dc886566-984a-4798-a75e-5585a7bf67cc"
TDX = "e47a6535-984a-4798-865e-4685a7bf8ec2"


def firmware(label, pages, entries, tables):
    image = bytearray(stream(label, pages * PAGE))
    for distance, table in tables:
        start = len(image) - distance
        image[start:start + len(table)] = table
    guids = b"".join(data + struct.pack("<H", len(data) + 18) + uuid.UUID(name).bytes_le for name, data in entries)
    guids += struct.pack("<H", len(guids) + 18) + uuid.UUID(FOOTER).bytes_le
    image[len(image) - 32 - len(guids):len(image) - 32] = guids
    return bytes(image)


def metadata(signature, rows):
    body = b"".join(rows)
    return signature + struct.pack("<III", 16 + len(body), 1, len(rows)) + body


def sev_firmware():
    sections = [(0x800000, 0x5000, 1), (0x80d000, 0x1000, 2), (0x80e000, 0x1000, 3), (0x80f000, 0x2000, 4),
                (0x811000, 0x1000, 0x10), (0x812000, 0x3000, 1)]
    table = metadata(b"ASEV", [struct.pack("<III", *s) for s in sections])
    entries = [(SEV, struct.pack("<I", 0x400)), (HASHES, struct.pack("<II", 0x811a40, 0x200)),
               (SECRET, struct.pack("<II", 0x811000, 0xa00)), (RESET, struct.pack("<I", 0x80b004))]
    return firmware("sev firmware", 16, entries, [(0x400, table)])


# Data offset, data size, address, memory size, type, attributes.
TDVF_SECTIONS = [
    (0x8000, 0x18000, 0xffff0000 - 0x8000, 0x18000, 0, 1),
    (0x0, 0x8000, 0xffff0000 - 0x10000, 0x8000, 1, 0),
    (0, 0, 0x810000, 0x4000, 3, 0),
    (0, 0, 0x809000, 0x2000, 2, 0),
    (0, 0, 0x80b000, 0x1000, 3, 0),
]


def tdx_firmware():
    table = metadata(b"TDVF", [struct.pack("<IIQQII", *s) for s in TDVF_SECTIONS])
    return firmware("tdx firmware", 32, [(TDX, struct.pack("<I", 0x800))], [(0x800, table)])


def kernel(label, length, certificates):
    """PE32+ with two sections, Linux setup header at 0x1f1, and optionally certificates at the end."""
    image = bytearray(stream(label, length))
    image[0:2] = b"MZ"
    image[0x3c:0x40] = struct.pack("<I", 0x40)
    end = length - certificates
    image[0x40:0x58] = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 2, 0, 0, 0, 160, 0x206)
    optional = bytearray(160)
    optional[0:2] = struct.pack("<H", 0x20b)
    optional[60:64] = struct.pack("<I", 0x400)
    optional[64:68] = stream("checksum", 4)
    optional[108:112] = struct.pack("<I", 6)
    if certificates:
        optional[144:152] = struct.pack("<II", end, certificates)
    image[0x58:0x58 + 160] = optional
    # Out of order, so that a calculator has to sort them.
    for index, (name, start, stop) in enumerate([(b".text", 0xc00, end), (b".setup", 0x400, 0xc00)]):
        row = struct.pack("<8sIIIIIIHHI", name, stop - start, start, stop - start, start, 0, 0, 0, 0, 0x60000020)
        image[0xf8 + 40 * index:0xf8 + 40 * (index + 1)] = row
    image[0x1f1] = 1
    image[0x202:0x206] = b"HdrS"
    image[0x206:0x208] = struct.pack("<H", 0x20f)
    image[0x210:0x212] = b"\x00\x01"
    image[0x22c:0x230] = struct.pack("<I", 0x7fffffff)
    image[0x236:0x238] = struct.pack("<H", 0x7f)
    return bytes(image)


# SNP.

VMMS = {"qemu": VMMType.QEMU, "ec2": VMMType.ec2, "gce": VMMType.gce}
MODELS = ["EPYC-v4", "EPYC-Rome-v2", "EPYC-Milan-v2", "EPYC-Genoa-v1", "EPYC-Turin", "EPYC-IBPB", "EPYC"]
BOOTS = [
    None,
    ("kernel a", 5000, "initrd a", 70001, "quiet panic=-1 lockdown=confidentiality"),
    ("kernel b", 8192, None, 0, "console=ttyS0 loglevel=7"),
    ("kernel c", 1, "initrd c", 4096, ""),
]


def snp_rows(files):
    rows = []
    shapes = itertools.cycle(itertools.product([1, 2, 3, 4, 5, 6, 7, 8], MODELS))
    features = itertools.cycle([0x1, 0x21, 0x2a1, 0x1])
    for name, vmm, boot, _ in itertools.product(files, VMMS, BOOTS, range(4)):
        # GCE starts firmware only; firmware without a place for hashes takes no kernel.
        if boot and (vmm == "gce" or name == "ovmf_OvmfX64_suffix.bin"):
            continue
        vcpus, model = next(shapes)
        row = {"firmware": name, "vmm": vmm, "vcpus": vcpus, "model": model, "features": next(features), "boot": None}
        with tempfile.TemporaryDirectory() as folder:
            paths = {"ovmf": f"{folder}/ovmf", "kernel": None, "initrd": None}
            pathlib.Path(paths["ovmf"]).write_bytes(files[name])
            append = ""
            if boot:
                append = boot[4]
                row["boot"] = {"kernel": [boot[0], boot[1]], "initrd": [boot[2] or "", boot[3]], "cmdline": append}
                for part, label, length in [("kernel", boot[0], boot[1]), ("initrd", boot[2], boot[3])]:
                    if label:
                        paths[part] = f"{folder}/{part}"
                        pathlib.Path(paths[part]).write_bytes(stream(label, length))
            row["digest"] = guest.calc_launch_digest(
                SevMode.SEV_SNP, vcpus, vcpu_types.CPU_SIGS[model], paths["ovmf"], paths["kernel"], paths["initrd"],
                append, row["features"], vmm_type=VMMS[vmm]).hex()
        rows.append(row)
    return rows


def firmware_digest(file):
    with tempfile.NamedTemporaryFile() as temp:
        temp.write(file)
        temp.flush()
        return guest.calc_snp_ovmf_hash(temp.name).hex()


def id_rows():
    key = ec.derive_private_key(0x7ea5, ec.SECP384R1())
    point = key.public_key().public_numbers()
    block = id_block.IdBlock(
        launch_digest=id_block.LaunchDigest.from_buffer_copy(stream("launch digest", 48)),
        ids=id_block.DefaultIDs, version=1, guest_svn=id_block.DefaultGuestSVN, policy=id_block.DefaultPolicy)
    return {"x": f"{point.x:096x}", "y": f"{point.y:096x}", "key_digest": id_block.pub_to_digest(key).hex(),
            "measurement": stream("launch digest", 48).hex(), "policy": id_block.DefaultPolicy,
            "block": bytes(block).hex()}


# TDX.


def mrtd(image, per_page):
    digest = hashlib.sha384()

    def add(address):
        digest.update((b"MEM.PAGE.ADD" + bytes(4) + address.to_bytes(8, "little")).ljust(128, b"\0"))

    def extend(address, content):
        for at in range(0, PAGE, 256):
            digest.update((b"MR.EXTEND" + bytes(7) + (address + at).to_bytes(8, "little")).ljust(128, b"\0"))
            digest.update(content[at:at + 256])

    for offset, size, address, memory, _, attributes in TDVF_SECTIONS:
        pages = range(0, memory, PAGE)
        content = image[offset:offset + size] if attributes & 1 else None
        for page in pages:
            add(address + page)
            if per_page and content:
                extend(address + page, content[page:page + PAGE])
        if not per_page and content:
            for page in pages:
                extend(address + page, content[page:page + PAGE])
    return digest.hexdigest()


def rtmr(events):
    value = bytes(48)
    for event in events:
        value = hashlib.sha384(value + event).digest()
    return value.hex()


def authenticode(image):
    # The library reports a section table that is out of order; the digest does not depend on it.
    with contextlib.redirect_stderr(io.StringIO()):
        return pe_authenticode_hash(pefile.PE(data=image), "sha384")


def as_qemu_loads_it(image, initrd_length, memory_mib):
    """hw/i386/x86-common.c, x86_load_linux, for protocol 2.15 on q35."""
    image = bytearray(image)
    image[0x210] = 0xb0
    image[0x211] |= 0x80
    struct.pack_into("<H", image, 0x224, 0x20000 - 0x10000 - 0x200)
    struct.pack_into("<I", image, 0x228, 0x20000)
    if initrd_length:
        ram = memory_mib << 20
        lowmem = 0x80000000 if ram >= 0xb0000000 else 0xb0000000
        below_4g = lowmem if ram >= lowmem else ram
        initrd_max = 0xffffffff
        if initrd_max >= below_4g - 0x28000:
            initrd_max = below_4g - 0x28000 - 1
        struct.pack_into("<II", image, 0x218, (initrd_max - initrd_length) & ~4095, initrd_length)
    return bytes(image)


def rtmr1(digest, separator):
    sha = lambda data: hashlib.sha384(data).digest()
    events = [digest, sha(b"Calling EFI Application from Boot Option")]
    if separator:
        events.append(sha(bytes(4)))
    events += [sha(b"Exit Boot Services Invocation"), sha(b"Exit Boot Services Returned with Success")]
    return rtmr(events)


def rtmr2(cmdline, initrd):
    text = cmdline + (" initrd=initrd" if initrd else "") + "\0"
    events = [hashlib.sha384(text.encode("utf-16-le")).digest()]
    if initrd:
        events.append(hashlib.sha384(initrd).digest())
    return rtmr(events)


def boot_rows():
    rows = []
    cases = [("kernel x", 0x4000, 0), ("kernel y", 0x8008, 0x5c0)]
    initrds = [("initrd x", 100000), ("", 0)]
    for (label, length, certificates), (initrd_label, initrd_length), memory, separator in itertools.product(
            cases, initrds, [None, 512, 2048, 2815, 2816, 65536], [True, False]):
        image = kernel(label, length, certificates)
        initrd = stream(initrd_label, initrd_length)
        loaded = image if memory is None else as_qemu_loads_it(image, initrd_length, memory)
        digest = authenticode(loaded)
        cmdline = "quiet panic=-1"
        rows.append({
            "kernel": [label, length, certificates], "kernel_sha256": hashlib.sha256(image).hexdigest(),
            "initrd": [initrd_label, initrd_length], "cmdline": cmdline, "memory_mib": memory, "separator": separator,
            "authenticode": digest.hex(), "rtmr1": rtmr1(digest, separator), "rtmr2": rtmr2(cmdline, initrd)})
    return rows


def main():
    files = {name: (HERE / name).read_bytes() for name in ["ovmf_AmdSev_suffix.bin", "ovmf_OvmfX64_suffix.bin"]}
    files["synthetic sev"] = sev_firmware()
    tdvf = tdx_firmware()
    json.dump({
        "made_by": "golden.py: sev-snp-measure 0.0.13, virt-firmware 26.10",
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in {**files, "synthetic tdx": tdvf}.items()},
        "snp": snp_rows(files),
        "snp_firmware": {name: firmware_digest(data) for name, data in files.items()},
        "id": id_rows(),
        "mrtd": {"per-page": mrtd(tdvf, True), "per-section": mrtd(tdvf, False)},
        "boot": boot_rows(),
    }, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
