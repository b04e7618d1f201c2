//! The crates `sev` 8.0.0 and `igvm` 0.5.0 on the same firmware.

use std::fs;

use igvm::IgvmDirectiveHeader;
use igvm::measurement::generate_tdx_measurement;
use igvm_defs::{IgvmPageDataFlags, IgvmPageDataType};
use proptest::prelude::*;
use sev::measurement::snp::{SnpMeasurementArgs, snp_calc_launch_digest};
use sev::measurement::vcpu_types::CpuType;
use sev::measurement::vmsa::{GuestFeatures, VMMType};
use tempfile::TempDir;
use tiltyard_attestation::Hex;
use tiltyard_attestation::measure::CommandLine;
use tiltyard_attestation::measure::snp::{self, Firmware, KernelHashes, Launch, SevFeatures, VcpuModel, Vmm};
use tiltyard_attestation::measure::tdx::{self, PageOrder};

use crate::synthetic::{
    PAGE, SEV_SECTIONS, TDVF_SECTIONS, TdvfSection, amd_sev, ovmf_x64, sev_firmware_with, stream,
    tdx_firmware_with,
};

/// One launch, as both calculators are asked for it.
#[derive(Debug)]
struct Case {
    firmware: Vec<u8>,
    /// Kernel, initrd, command line.
    boot: Option<(Vec<u8>, Vec<u8>, String)>,
    vmm: Vmm,
    vcpus: u32,
    model: VcpuModel,
    features: u64,
}

impl Case {
    fn ours(&self) -> Hex<48> {
        let hashes = |(kernel, initrd, cmdline): &(Vec<u8>, Vec<u8>, String)| {
            KernelHashes::of(kernel, initrd, &CommandLine::new(cmdline).unwrap())
        };
        let launch = Launch {
            firmware: Firmware::Whole(&self.firmware),
            kernel: self.boot.as_ref().map(hashes),
            vmm: self.vmm,
            vcpus: self.vcpus,
            model: self.model,
            features: SevFeatures::new(self.features).unwrap(),
        };
        snp::launch_digest(&launch).unwrap()
    }

    /// The `sev` crate takes paths.
    fn theirs(&self) -> Hex<48> {
        let folder = TempDir::new().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let boot = self.boot.as_ref();
        let digest = snp_calc_launch_digest(SnpMeasurementArgs {
            vcpus: self.vcpus,
            vcpu_type: CpuType::try_from(self.model.name()).unwrap(),
            ovmf_file: write("firmware", &self.firmware),
            guest_features: GuestFeatures(self.features),
            kernel_file: boot.map(|(kernel, _, _)| write("kernel", kernel)),
            initrd_file: boot.map(|(_, initrd, _)| write("initrd", initrd)),
            append: boot.map(|(_, _, cmdline)| cmdline.as_str()),
            ovmf_hash_str: None,
            vmm_type: Some(match self.vmm {
                Vmm::Qemu => VMMType::QEMU,
                Vmm::Ec2RdxZero => VMMType::EC2,
                Vmm::Ec2 | Vmm::Gce => panic!("the sev crate has no {:?}", self.vmm),
            }),
        });
        digest.unwrap().get_hex_ld().parse().unwrap()
    }
}

#[test]
fn every_model_of_the_sev_crate_measures_alike() {
    let mut compared = 0;
    for name in VcpuModel::names().filter(|name| CpuType::try_from(*name).is_ok()) {
        let model: VcpuModel = name.parse().unwrap();
        assert_eq!(model.signature(), CpuType::try_from(name).unwrap().sig() as u32, "{name}");
        let boot = Some((stream("kernel", 3000), stream("initrd", 5), "quiet".to_owned()));
        let case = Case { firmware: amd_sev(), boot, vmm: Vmm::Qemu, vcpus: 2, model, features: 0x1 };
        assert_eq!(case.ours(), case.theirs(), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 18, "models that the sev crate knows");
}

#[test]
fn both_real_firmware_tables_measure_alike() {
    for (firmware, with_kernel) in [(amd_sev(), true), (ovmf_x64(), false)] {
        for (vmm, vcpus, features) in [(Vmm::Qemu, 1, 0x21), (Vmm::Qemu, 7, 0x1), (Vmm::Ec2RdxZero, 5, 0x1)] {
            for kernel in [false, with_kernel] {
                let case = Case {
                    firmware: firmware.clone(),
                    boot: kernel.then(|| (stream("k", 70_000), Vec::new(), String::new())),
                    vmm,
                    vcpus,
                    model: "EPYC-Genoa".parse().unwrap(),
                    features,
                };
                assert_eq!(case.ours(), case.theirs(), "{case:?}");
            }
        }
    }
}

/// Sections in a random order, of random sizes, one after the other from 8 MiB on.
fn sev_sections() -> impl Strategy<Value = Vec<[u32; 3]>> {
    let sizes = prop::collection::vec(1u32..6, SEV_SECTIONS.len());
    (Just(SEV_SECTIONS.to_vec()).prop_shuffle(), sizes).prop_map(|(sections, sizes)| {
        let mut address = 0x90_0000;
        let place = |([fixed, _, kind], pages): ([u32; 3], u32)| match kind {
            0x2 | 0x3 | 0x10 => [fixed, 0x1000, kind],
            _ => {
                address += pages << 12;
                [address - (pages << 12), pages << 12, kind]
            }
        };
        sections.into_iter().zip(sizes).map(place).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn snp_digests_equal_those_of_the_sev_crate(
        sections in sev_sections(),
        vcpus in 1u32..9,
        features in any::<u64>(),
        qemu in any::<bool>(),
        kernel in prop::option::of((0usize..9000, 0usize..9000, "([!-~]( ?[!-~])*)?")),
    ) {
        let case = Case {
            firmware: sev_firmware_with(&sections),
            boot: kernel.map(|(kernel, initrd, text)| (stream("k", kernel), stream("i", initrd), text)),
            vmm: if qemu { Vmm::Qemu } else { Vmm::Ec2RdxZero },
            vcpus,
            model: "EPYC-Milan-v2".parse().unwrap(),
            features: features | 1,
        };
        prop_assert_eq!(case.ours(), case.theirs());
    }

    #[test]
    fn mrtd_equals_that_of_the_igvm_crate(sections in tdvf_sections()) {
        let firmware = tdx_firmware_with(&sections);
        prop_assert_eq!(tdx::mrtd(&firmware, PageOrder::PerPage), Ok(igvm_mrtd(&firmware, &sections)));
    }
}

#[test]
fn mrtd_of_the_sample_equals_that_of_the_igvm_crate() {
    let firmware = tdx_firmware_with(&TDVF_SECTIONS);
    assert_eq!(tdx::mrtd(&firmware, PageOrder::PerPage), Ok(igvm_mrtd(&firmware, &TDVF_SECTIONS)));
}

/// The sample's sections in a random order, with the attribute of either firmware volume set.
fn tdvf_sections() -> impl Strategy<Value = Vec<TdvfSection>> {
    (Just(TDVF_SECTIONS.to_vec()).prop_shuffle(), 1u32..4).prop_map(|(sections, bits)| {
        let attribute = |(offset, size, address, memory, kind, _): TdvfSection| {
            let attributes = if kind < 2 { bits >> kind & 1 } else { 0 };
            (offset, size, address, memory, kind, attributes)
        };
        sections.into_iter().map(attribute).collect()
    })
}

/// MRTD of an IGVM file with the pages of these sections.
fn igvm_mrtd(firmware: &[u8], sections: &[TdvfSection]) -> Hex<48> {
    let pages = sections.iter().flat_map(|(offset, _, address, memory, _, attributes)| {
        (0..*memory as usize).step_by(PAGE).map(move |at| {
            let start = *offset as usize + at;
            let measured = attributes & 1 == 1;
            IgvmDirectiveHeader::PageData {
                gpa: address + at as u64,
                compatibility_mask: 1,
                flags: IgvmPageDataFlags::new().with_unmeasured(!measured),
                data_type: IgvmPageDataType::NORMAL,
                data: if measured { firmware[start..start + PAGE].to_vec() } else { Vec::new() },
            }
        })
    });
    Hex(generate_tdx_measurement(&pages.collect::<Vec<_>>(), 1).unwrap())
}
