//! Digests that the authors of other calculators published for files that they publish too.

use tiltyard_attestation::Hex;
use tiltyard_attestation::measure::snp::{self, Firmware, KernelHashes, Launch, SevFeatures, Vmm};
use tiltyard_attestation::measure::{CommandLine, Entry, MeasureError};

use crate::synthetic::{amd_sev, ovmf_x64, vector};

/// Launch digest over the pages of the AmdSev suffix.
const AMD_SEV_PAGES: &str =
    "086e2e9149ebf45abdc3445fba5b2da8270bdbb04094d7a2c37faaa4b24af3aa16aff8c374c2a55c467a50da6d466b74";

/// `virtee/sev` 8.0.0, `tests/measurement.rs`: VMM, vCPUs, features, command line (none: no kernel), digest.
///
/// The kernel and the initrd are empty files, the model is EPYC-v4.
const AMD_SEV: &[(Vmm, u32, u64, Option<&str>, &str)] = &[
    (
        Vmm::Qemu,
        1,
        0x1,
        Some(""),
        "ddc5224521617a536ee7ce9dd6224d1b58a8d4fda1c741f3ac99fc4bfa04ba6e9fc98646d4a07a9079397fa3852819b5",
    ),
    (
        Vmm::Qemu,
        1,
        0x21,
        Some(""),
        "329c8ce0972ae52343b64d34a434a86f245dfd74f5ed7aae15d22efc78fb9683632b9b50e4e1d7fa41179ef98a7ef198",
    ),
    (
        Vmm::Qemu,
        1,
        0x1,
        Some("console=ttyS0 loglevel=7"),
        "6d287813eb5222d770f75005c664e34c204f385ce832cc2ce7d0d6f354454362f390ef83a92046c042e706363b4b08fa",
    ),
    (
        Vmm::Qemu,
        1,
        0x21,
        Some("console=ttyS0 loglevel=7"),
        "803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d0228977",
    ),
    (
        Vmm::Ec2RdxZero,
        1,
        0x1,
        Some(""),
        "7d3756157c805bf6adf617064c8552e8c1688fa1c8756f11cbf56ba5d25c9270fb69c0505c1cbe1c5c66c0e34c6ed3be",
    ),
    (
        Vmm::Ec2RdxZero,
        1,
        0x21,
        Some(""),
        "6ae80856486b1396af8c82a40351d6ed76a20c785e9c7fa4ffa27c22d5d6313b4b3b458cd3c9968e6f89fb5d8450d7a6",
    ),
    (
        Vmm::Qemu,
        1,
        0x1,
        None,
        "19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d",
    ),
    (
        Vmm::Qemu,
        1,
        0x21,
        None,
        "e1e1ca029dd7973ab9513295be68198472dcd4fc834bd9af9b63f6e8a1674dbf281a9278a4a2ebe0eed9f22adbcd0e2b",
    ),
    (
        Vmm::Qemu,
        4,
        0x1,
        Some(""),
        "5061fffb019493a903613d56d54b94912a1a2f9e4502385f5c194616753720a92441310ba6c4933de877c36e23046ad5",
    ),
    (
        Vmm::Qemu,
        4,
        0x21,
        Some(""),
        "4953b1fb416fa874980e8442b3706d345926d5f38879134e00813c5d7abcbe78eafe7b422907be0b4698e2414a631942",
    ),
];

const OVMF_X64: &[(u64, &str)] = &[
    (0x1, "da0296de8193586a5512078dcd719eccecbd87e2b825ad4148c44f665dc87df21e5b49e21523a9ad993afdb6a30b4005"),
    (
        0x21,
        "28797ae0afaba4005a81e629acebfb59e6687949d6be44007cd5506823b0dd66f146aaae26ff291eed7b493d8a64c385",
    ),
];

fn launch<'a>(
    firmware: Firmware<'a>,
    vmm: Vmm,
    vcpus: u32,
    features: u64,
    cmdline: Option<&str>,
) -> Launch<'a> {
    let kernel = cmdline.map(|text| KernelHashes::of(&[], &[], &CommandLine::new(text).unwrap()));
    let features = SevFeatures::new(features).unwrap();
    Launch { firmware, kernel, vmm, vcpus, model: "EPYC-v4".parse().unwrap(), features }
}

#[test]
fn published_digests_are_reproduced_from_the_file() {
    let firmware = amd_sev();
    for (vmm, vcpus, features, cmdline, digest) in AMD_SEV {
        let launch = launch(Firmware::Whole(&firmware), *vmm, *vcpus, *features, *cmdline);
        assert_eq!(snp::launch_digest(&launch).unwrap().to_string(), *digest, "{launch:?}");
    }
    let firmware = ovmf_x64();
    for (features, digest) in OVMF_X64 {
        let launch = launch(Firmware::Whole(&firmware), Vmm::Qemu, 1, *features, None);
        assert_eq!(snp::launch_digest(&launch).unwrap().to_string(), *digest);
    }
}

#[test]
fn published_digests_are_reproduced_from_the_digest_of_the_firmware_and_its_end() {
    let tail = amd_sev();
    let measured: Hex<48> = AMD_SEV_PAGES.parse().unwrap();
    assert_eq!(snp::firmware_digest(&tail), Ok(measured));
    for (vmm, vcpus, features, cmdline, digest) in AMD_SEV {
        let launch = launch(Firmware::Tail { measured, tail: &tail }, *vmm, *vcpus, *features, *cmdline);
        assert_eq!(snp::launch_digest(&launch).unwrap().to_string(), *digest, "{launch:?}");
    }
}

#[test]
fn a_kernel_on_firmware_without_kernel_hashes_is_refused() {
    for file in [ovmf_x64(), vector("debian_2022.11_OVMF_tail.bin")] {
        assert_eq!(snp::kernel_hash_page(&file), Err(MeasureError::NoKernelHashes));
        for vmm in [Vmm::Qemu, Vmm::Ec2, Vmm::Ec2RdxZero] {
            let with = launch(Firmware::Whole(&file), vmm, 1, 0x21, Some(""));
            assert_eq!(snp::launch_digest(&with), Err(MeasureError::NoKernelHashes));
            assert!(snp::launch_digest(&Launch { kernel: None, ..with }).is_ok());
        }
    }
    // Debian's 4 MiB variant is no SNP firmware at all.
    let file = vector("debian_2022.11_OVMF_CODE_4M_tail.bin");
    assert_eq!(snp::kernel_hash_page(&file), Err(MeasureError::NoKernelHashes));
    for firmware in [Firmware::Whole(&file), Firmware::Tail { measured: Hex([0; 48]), tail: &file }] {
        let with = launch(firmware, Vmm::Qemu, 1, 0x21, Some(""));
        assert_eq!(snp::launch_digest(&with), Err(MeasureError::NoKernelHashes));
        let missing = MeasureError::EntryMissing { entry: Entry::SevMetadata };
        assert_eq!(snp::launch_digest(&Launch { kernel: None, ..with }), Err(missing));
    }
    let page = snp::kernel_hash_page(&amd_sev()).unwrap();
    assert_eq!((page.page, page.base, page.size), (0x81_0000, 0x81_0c00, 0x400));
}

#[test]
fn each_input_of_a_launch_changes_the_digest() {
    let (firmware, other) = (amd_sev(), ovmf_x64());
    let base = launch(Firmware::Whole(&firmware), Vmm::Qemu, 2, 0x1, Some("quiet"));
    let with = |text: &str, kernel: &[u8], initrd: &[u8]| {
        Some(KernelHashes::of(kernel, initrd, &CommandLine::new(text).unwrap()))
    };
    let launches = [
        base,
        Launch { kernel: None, ..base },
        Launch { kernel: with("quiet", &[], &[0]), ..base },
        Launch { kernel: with("quie", &[], &[]), ..base },
        Launch { kernel: with("quiet", &[0], &[]), ..base },
        Launch { vmm: Vmm::Ec2, ..base },
        Launch { vmm: Vmm::Ec2RdxZero, ..base },
        Launch { kernel: None, vmm: Vmm::Gce, ..base },
        Launch { kernel: None, firmware: Firmware::Whole(&other), ..base },
        Launch { vcpus: 1, ..base },
        Launch { vcpus: 3, ..base },
        Launch { model: "EPYC-Milan".parse().unwrap(), ..base },
        Launch { features: SevFeatures::new(0x21).unwrap(), ..base },
    ];
    let mut digests: Vec<Hex<48>> =
        launches.iter().map(|launch| snp::launch_digest(launch).unwrap()).collect();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), launches.len());
}

#[test]
fn a_command_line_with_blanks_at_its_ends_or_other_characters_is_refused() {
    for text in [" quiet", "quiet ", " ", "a\tb", "a\n", "a\0b", "caf\u{e9}", "\u{7f}"] {
        assert_eq!(CommandLine::new(text), Err(MeasureError::CmdlineNotCanonical), "{text:?}");
    }
    let longest = "a".repeat(2047);
    assert_eq!(CommandLine::new(&longest).unwrap().as_str(), longest);
    let longer = "a".repeat(2048);
    assert_eq!(CommandLine::new(&longer), Err(MeasureError::CmdlineTooLong { limit: 2047, got: 2048 }));
}
