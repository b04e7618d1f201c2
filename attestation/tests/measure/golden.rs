//! What `sev-snp-measure` 0.0.13, `virt-firmware` 26.10 and a second implementation of the TDX digests give
//! (`vectors/measure/golden.json`).

use std::collections::BTreeMap;

use serde::Deserialize;
use tiltyard_attestation::Hex;
use tiltyard_attestation::measure::CommandLine;
use tiltyard_attestation::measure::snp::{
    self, Firmware, IdBlock, KernelHashes, Launch, P384Point, SevFeatures, Vmm,
};
use tiltyard_attestation::measure::tdx::{self, KernelForm, PageOrder, Separator};

use crate::synthetic::{amd_sev, kernel, ovmf_x64, sev_firmware, stream, tdx_firmware, vector};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    #[allow(dead_code, reason = "for people")]
    made_by: String,
    files: BTreeMap<String, Hex<32>>,
    pub snp: Vec<SnpRow>,
    snp_firmware: BTreeMap<String, Hex<48>>,
    id: IdRow,
    mrtd: BTreeMap<String, Hex<48>>,
    boot: Vec<BootRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpRow {
    pub firmware: String,
    pub vmm: Vmm,
    pub vcpus: u32,
    pub model: String,
    pub features: u64,
    pub boot: Option<DirectBoot>,
    pub digest: Hex<48>,
}

/// Label and length of a stream.
type Content = (String, usize);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectBoot {
    pub kernel: Content,
    pub initrd: Content,
    pub cmdline: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdRow {
    x: Hex<48>,
    y: Hex<48>,
    key_digest: Hex<48>,
    measurement: Hex<48>,
    policy: u64,
    block: Hex<96>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BootRow {
    kernel: (String, usize, usize),
    kernel_sha256: Hex<32>,
    initrd: Content,
    cmdline: String,
    memory_mib: Option<u32>,
    separator: bool,
    authenticode: Hex<48>,
    rtmr1: Hex<48>,
    rtmr2: Hex<48>,
}

pub fn golden() -> Golden {
    serde_json::from_slice(&vector("golden.json")).unwrap()
}

/// The firmware of a row, by its name.
pub fn file(name: &str) -> Vec<u8> {
    match name {
        "ovmf_AmdSev_suffix.bin" => amd_sev(),
        "ovmf_OvmfX64_suffix.bin" => ovmf_x64(),
        "synthetic sev" => sev_firmware(),
        "synthetic tdx" => tdx_firmware(),
        other => panic!("no file {other}"),
    }
}

impl SnpRow {
    pub fn launch<'a>(&self, firmware: &'a [u8]) -> Launch<'a> {
        let hashes = |boot: &DirectBoot| {
            let (kernel, initrd) = (content(&boot.kernel), content(&boot.initrd));
            KernelHashes::of(&kernel, &initrd, &CommandLine::new(&boot.cmdline).unwrap())
        };
        Launch {
            firmware: Firmware::Whole(firmware),
            kernel: self.boot.as_ref().map(hashes),
            vmm: self.vmm,
            vcpus: self.vcpus,
            model: self.model.parse().unwrap(),
            features: SevFeatures::new(self.features).unwrap(),
        }
    }
}

pub fn content((label, len): &Content) -> Vec<u8> {
    stream(label, *len)
}

#[test]
fn both_builders_make_the_same_files() {
    let golden = golden();
    assert_eq!(golden.files.len(), 4);
    for (name, digest) in golden.files {
        assert_eq!(Hex::sha256(&file(&name)), digest, "{name}");
    }
}

#[test]
fn snp_digests_equal_those_of_sev_snp_measure() {
    let golden = golden();
    assert!(golden.snp.len() >= 60, "{} rows", golden.snp.len());
    for row in &golden.snp {
        let firmware = file(&row.firmware);
        let launch = row.launch(&firmware);
        assert_eq!(snp::launch_digest(&launch), Ok(row.digest), "{launch:?}");
    }
    for vcpus in 1..=8 {
        assert!(golden.snp.iter().any(|row| row.vcpus == vcpus), "no row with {vcpus} vCPUs");
    }
    for vmm in [Vmm::Qemu, Vmm::Ec2, Vmm::Gce] {
        assert!(golden.snp.iter().any(|row| row.vmm == vmm), "no row for {vmm:?}");
    }
    for (name, digest) in golden.snp_firmware {
        assert_eq!(snp::firmware_digest(&file(&name)), Ok(digest), "{name}");
    }
}

#[test]
fn the_id_block_and_the_key_digest_equal_those_of_sev_snp_measure() {
    let row = golden().id;
    let block = IdBlock {
        measurement: row.measurement,
        family_id: Hex([0; 16]),
        image_id: Hex([0; 16]),
        guest_svn: 0,
        policy: row.policy,
    };
    assert_eq!(Hex(block.to_bytes()), row.block);
    assert_eq!(P384Point { x: row.x, y: row.y }.key_digest(), row.key_digest);
    let svn =
        IdBlock { family_id: Hex([1; 16]), image_id: Hex([2; 16]), guest_svn: 0x0403, ..block }.to_bytes();
    assert_eq!((svn[48], svn[63], svn[64], svn[79], &svn[84..88]), (1, 1, 2, 2, &[3, 4, 0, 0][..]));
}

#[test]
fn mrtd_equals_that_of_the_second_implementation() {
    let firmware = tdx_firmware();
    let mrtd = golden().mrtd;
    assert_eq!(tdx::mrtd(&firmware, PageOrder::PerPage), Ok(mrtd["per-page"]));
    assert_eq!(tdx::mrtd(&firmware, PageOrder::PerSection), Ok(mrtd["per-section"]));
    assert_ne!(mrtd["per-page"], mrtd["per-section"]);
}

#[test]
fn run_time_registers_equal_those_of_the_second_implementation() {
    let rows = golden().boot;
    assert!(rows.len() >= 48);
    for row in rows {
        let (label, len, certificates) = &row.kernel;
        let kernel = kernel(label, *len, *certificates);
        assert_eq!(Hex::sha256(&kernel), row.kernel_sha256);
        let (initrd, cmdline) = (content(&row.initrd), CommandLine::new(&row.cmdline).unwrap());
        let form = match row.memory_mib {
            Some(memory_mib) => KernelForm::SetupHeader { memory_mib },
            None => KernelForm::File,
        };
        let separator = if row.separator { Separator::Present } else { Separator::Absent };
        let digest = tdx::kernel_digest(&kernel, &initrd, &cmdline, form).unwrap();
        assert_eq!(digest, row.authenticode, "{label} {form:?}");
        assert_eq!(tdx::rtmr(&tdx::rtmr1_events(digest, separator)), row.rtmr1, "{label} {form:?}");
        assert_eq!(tdx::rtmr(&tdx::rtmr2_events(&cmdline, &initrd)), row.rtmr2, "{label}");
    }
}
