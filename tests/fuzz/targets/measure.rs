//! Files that are measured: OVMF images with their tables, kernels, command lines.

use tiltyard_attestation::measure::manifest::{
    FileDigest, ImageBytes, ImageInputs, ImageManifest, Shape, SnpInputs, TdxInputs, expected,
};
use tiltyard_attestation::measure::snp::{
    self, Firmware, KernelHashes, Launch, SevFeatures, VcpuModel, Vmm, firmware_digest, kernel_hash_page,
};
use tiltyard_attestation::measure::tdx::{
    self, KernelForm, LaunchProfile, PageOrder, Separator, authenticode_sha384, kernel_digest,
};
use tiltyard_attestation::measure::{CommandLine, FIRMWARE_MAX_BYTES, MeasureError};

use super::Target;
use super::ground::{put, vector};

pub const TARGET: Target = Target {
    name: "measure",
    run,
    seeds,
    costly,
    limit_bytes: FIRMWARE_MAX_BYTES,
    mutated_bytes: 16 * 1024,
    words: &["ASEV", "TDVF", "HdrS", "MZ", "PE\\x00\\x00\\x64\\x86", "\\x0b\\x02", "\\x00\\x10\\x00\\x00"],
};

const PAGE: usize = 4096;
type Guid = [u8; 16];
/// GUIDs as they stand in a file.
const FOOTER: Guid = *b"\xde\x82\xb5\x96\xb2\x1f\xf7\x45\xba\xea\xa3\x66\xc5\x5a\x08\x2d";
const RESET: Guid = *b"\xde\x71\xf7\x00\x7e\x1a\xcb\x4f\x89\x0e\x68\xc7\x7e\x2f\xb4\x4e";
const HASHES: Guid = *b"\x1f\x37\x55\x72\x3b\x3a\x04\x4b\x92\x7b\x1d\xa6\xef\xa8\xd4\x54";
const SEV: Guid = *b"\x66\x65\x88\xdc\x4a\x98\x98\x47\xa7\x5e\x55\x85\xa7\xbf\x67\xcc";
const TDX: Guid = *b"\x35\x65\x7a\xe4\x4a\x98\x98\x47\x86\x5e\x46\x85\xa7\xbf\x8e\xc2";

fn le(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Two pages with both metadata tables, under one GUID table.
fn firmware() -> Vec<u8> {
    let sev = [0x80_0000, 0x5000, 1, 0x80_d000, 0x1000, 2, 0x80_e000, 0x1000, 3, 0x81_1000, 0x1000, 0x10];
    let tdvf = [0, 0x2000, 0xffff_e000, 0, 0x2000, 0, 0, 1, 0, 0, 0x80_9000, 0, 0x2000, 0, 2, 0];
    firmware_of(2, &sev, &tdvf)
}

/// An image of the largest size that OVMF is built in, in which all memory is named that may be.
fn costly() -> Vec<Vec<u8>> {
    const PAGES: usize = 1024;
    let len = (PAGES * PAGE) as u32;
    let sev =
        [0x1000_0000, 127 << 20, 1, 0x80_d000, 0x1000, 2, 0x80_e000, 0x1000, 3, 0x81_1000, 0x1000, 0x10];
    let tdvf: Vec<u32> = (0..31).flat_map(|at| [0, len, 0x1000_0000 + at * len, 0, len, 0, 0, 1]).collect();
    let mut large = kernel();
    large.resize(4 << 20, 0);
    vec![firmware_of(PAGES, &sev, &tdvf), large]
}

fn firmware_of(pages: usize, sev: &[u32], tdvf: &[u32]) -> Vec<u8> {
    const SEV_AT: u32 = 0x400;
    const TDVF_AT: u32 = 0xc00;
    let mut image = vec![0x5a; pages * PAGE];
    let end = image.len();
    let table = |signature: &[u8; 4], row: usize, words: &[u32]| {
        let header = [16 + 4 * words.len() as u32, 1, (words.len() / row) as u32];
        [&signature[..], &le(&header), &le(words)].concat()
    };
    put(&mut image, end - SEV_AT as usize, &table(b"ASEV", 3, sev));
    put(&mut image, end - TDVF_AT as usize, &table(b"TDVF", 8, tdvf));
    let entries = [
        (SEV, le(&[SEV_AT])),
        (HASHES, le(&[0x81_1a40, 0x200])),
        (RESET, le(&[0x80_b004])),
        (TDX, le(&[TDVF_AT])),
    ];
    let mut table = Vec::new();
    for (guid, data) in entries {
        table.extend_from_slice(&data);
        table.extend_from_slice(&(data.len() as u16 + 18).to_le_bytes());
        table.extend_from_slice(&guid);
    }
    table.extend_from_slice(&(table.len() as u16 + 18).to_le_bytes());
    table.extend_from_slice(&FOOTER);
    put(&mut image, end - 32 - table.len(), &table);
    image
}

/// PE32+ of two sections with a Linux setup header and certificates at the end.
fn kernel() -> Vec<u8> {
    const LEN: u32 = 0x2000;
    const CERTIFICATES: u32 = 0x100;
    let mut image = vec![0xa5; LEN as usize];
    let end = LEN - CERTIFICATES;
    put(&mut image, 0, b"MZ");
    put(&mut image, 0x3c, &le(&[0x40]));
    put(&mut image, 0x40, b"PE\0\0\x64\x86\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\xa0\0\x06\x02");
    put(&mut image, 0x58, &[0; 160]);
    put(&mut image, 0x58, &[0x0b, 0x02]);
    put(&mut image, 0x58 + 60, &le(&[0x400]));
    put(&mut image, 0x58 + 108, &le(&[6]));
    put(&mut image, 0x58 + 144, &le(&[end, CERTIFICATES]));
    for (at, name, start, stop) in
        [(0xf8, *b".text\0\0\0", 0xc00, end), (0x120, *b".setup\0\0", 0x400, 0xc00)]
    {
        let size = stop - start;
        put(&mut image, at, &[name.to_vec(), le(&[size, start, size, start, 0, 0, 0, 0x6000_0020])].concat());
    }
    put(&mut image, 0x1f1, &[1]);
    put(&mut image, 0x202, b"HdrS\x0f\x02");
    put(&mut image, 0x210, &[0, 1]);
    put(&mut image, 0x22c, &le(&[0x7fff_ffff]));
    put(&mut image, 0x236, &[0x7f, 0]);
    image
}

/// An image of the two, for both technologies.
pub fn manifest() -> ImageManifest {
    let (kernel, firmware) = (kernel(), firmware());
    let inputs = inputs(&kernel, &firmware).unwrap_or_else(|error| panic!("{error}"));
    ImageManifest::build(inputs, &files(&kernel, &firmware)).unwrap_or_else(|error| panic!("{error}"))
}

fn inputs(kernel: &[u8], firmware: &[u8]) -> Result<ImageInputs, MeasureError> {
    Ok(ImageInputs {
        kernel: FileDigest::of(kernel),
        initrd: Some(FileDigest::of(INITRD)),
        cmdline: CommandLine::new(CMDLINE)?,
        snp: Some(SnpInputs {
            firmware: FileDigest::of(firmware),
            vmm: Vmm::Qemu,
            features: SevFeatures::new(1)?,
            shapes: vec![Shape { model: "EPYC-v4".parse()?, vcpus: 1 }],
        }),
        tdx: Some(TdxInputs {
            firmware: FileDigest::of(firmware),
            profile: LaunchProfile {
                page_order: PageOrder::PerPage,
                kernel: KernelForm::SetupHeader { memory_mib: 4096 },
                separator: Separator::Present,
            },
            rtmr0_events: vec![],
        }),
    })
}

fn files<'a>(kernel: &'a [u8], firmware: &'a [u8]) -> ImageBytes<'a> {
    ImageBytes { kernel, initrd: Some(INITRD), snp_firmware: Some(firmware), tdx_firmware: Some(firmware) }
}

const INITRD: &[u8] = b"initrd";
const CMDLINE: &str = "quiet panic=-1";

fn seeds() -> Vec<Vec<u8>> {
    let tails = [
        "ovmf_AmdSev_suffix.bin",
        "ovmf_OvmfX64_suffix.bin",
        "debian_2022.11_OVMF_tail.bin",
        "debian_2022.11_OVMF_CODE_4M_tail.bin",
    ];
    let tails = tails.iter().map(|name| vector(&format!("measure/{name}")));
    tails.chain([firmware(), kernel(), b"quiet panic=-1 console=ttyS0".to_vec()]).collect()
}

fn run(data: &[u8]) {
    if data.len() > TARGET.mutated_bytes {
        let _ = (tdx::mrtd(data, PageOrder::PerPage), firmware_digest(data), kernel_hash_page(data));
        let _ = authenticode_sha384(data);
        return;
    }
    as_firmware(data);
    as_kernel(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(line) = CommandLine::new(text)
    {
        assert_eq!(line.as_str(), text, "a command line is measured as it is");
    }
    let (kernel, firmware) = data.split_at(data.len().min(2 * PAGE));
    if let Ok(inputs) = inputs(kernel, firmware)
        && let Ok(manifest) = ImageManifest::build(inputs, &files(kernel, firmware))
    {
        assert_eq!(expected(&manifest, &files(kernel, firmware)).as_ref(), Ok(&manifest.expected));
    }
}

fn as_firmware(data: &[u8]) {
    let line = CommandLine::default();
    let hashes = KernelHashes::of(b"kernel", INITRD, &line);
    let (Ok(model), Ok(features)) = ("EPYC-v4".parse::<VcpuModel>(), SevFeatures::new(1)) else { return };
    let page = kernel_hash_page(data);
    let launch = |firmware, kernel, vmm| Launch { firmware, kernel, vmm, vcpus: 2, model, features };
    if let Ok(measured) = firmware_digest(data) {
        let tail = Firmware::Tail { measured, tail: data };
        for (vmm, kernel) in [(Vmm::Qemu, Some(hashes)), (Vmm::Ec2, None), (Vmm::Gce, None)] {
            let whole = snp::launch_digest(&launch(Firmware::Whole(data), kernel, vmm));
            let split = snp::launch_digest(&launch(tail, kernel, vmm));
            // The end of a file does not say where its start is, so it can't tell that a section lies on it.
            if whole.is_ok() {
                assert_eq!(whole, split, "the whole file and its end measure alike");
            }
            if kernel.is_some() && split.is_ok() {
                assert!(page.is_ok(), "a kernel is measured only where the firmware checks it");
            }
        }
    }
    let [one, other] = [PageOrder::PerPage, PageOrder::PerSection].map(|order| tdx::mrtd(data, order));
    assert_eq!(one.is_ok(), other.is_ok(), "the order of pages decides no refusal");
}

fn as_kernel(data: &[u8]) {
    let line = CommandLine::default();
    let file = kernel_digest(data, INITRD, &line, KernelForm::File);
    assert_eq!(file, authenticode_sha384(data));
    for memory_mib in [0, 1, 3072, u32::MAX] {
        let _ = kernel_digest(data, INITRD, &line, KernelForm::SetupHeader { memory_mib });
    }
}
