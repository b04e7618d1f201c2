//! The launch digest of an SEV-SNP guest (SNP ABI 56860, SNP_LAUNCH_UPDATE).
//!
//! What goes into it, in this order: the firmware's pages below 4 GiB; the pages that the firmware's own
//! metadata asks for, among them the one with the kernel's hashes; one save area (VMSA) per vCPU. Guest
//! policy, HOST_DATA and the ID block do not: the report carries those beside it.
//!
//! Equal to `sev` 8.0.0 and `sev-snp-measure` 0.0.13 on what both accept (`tests/measure`); agreement with
//! hardware is not verified.

mod chain;
mod hashes;
mod id_block;
mod metadata;
mod vcpu;
mod vmsa;

pub use hashes::KernelHashes;
pub use id_block::{IdBlock, P384Point};
pub use metadata::KernelHashPage;
pub use vcpu::{VCPUS_MAX, VcpuModel};
pub use vmsa::{SevFeatures, Vmm};

use chain::{Chain, PageType};
use metadata::{Section, SectionType, SnpMetadata};

use super::error::{Entry, MeasureError, Part};
use super::firmware::{Range, whole_pages};
use super::{FOUR_GIB, PAGE};
use crate::Hex;

/// The firmware of a launch.
#[derive(Debug, Clone, Copy)]
pub enum Firmware<'a> {
    /// The whole file, as QEMU is given it with `-bios`.
    Whole(&'a [u8]),
    /// The launch digest over the pages of the whole file ([`firmware_digest`]), and the end of the file
    /// that holds its tables.
    Tail { measured: Hex<48>, tail: &'a [u8] },
}

/// Everything that a launch digest depends on.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    pub firmware: Firmware<'a>,
    /// None when the VMM is not given a kernel; the firmware then boots from a disk.
    pub kernel: Option<KernelHashes>,
    pub vmm: Vmm,
    /// 1 to [`VCPUS_MAX`].
    pub vcpus: u32,
    pub model: VcpuModel,
    pub features: SevFeatures,
}

/// A guest whose memory is measured and whose vCPUs are not: the part that all vCPU counts share.
#[derive(Debug, Clone)]
pub struct Memory {
    chain: Chain,
    vmm: Vmm,
    reset_vector: u32,
}

/// MEASUREMENT of the guest that `launch` describes.
pub fn launch_digest(launch: &Launch<'_>) -> Result<Hex<48>, MeasureError> {
    let memory = Memory::load(launch.firmware, launch.kernel.as_ref(), launch.vmm)?;
    memory.start(launch.vcpus, launch.model, launch.features)
}

/// The launch digest after the firmware's pages alone, for [`Firmware::Tail`].
pub fn firmware_digest(firmware: &[u8]) -> Result<Hex<48>, MeasureError> {
    whole_pages(Part::SnpFirmware, firmware)?;
    let mut chain = Chain::new();
    chain.firmware(firmware);
    Ok(chain.digest())
}

/// Where `firmware`, the whole file or its end, takes the kernel's hashes.
///
/// [`MeasureError::NoKernelHashes`] is what a launcher must refuse to start a kernel on.
pub fn kernel_hash_page(firmware: &[u8]) -> Result<KernelHashPage, MeasureError> {
    SnpMetadata::read(firmware, None).map_err(lacks_hashes)?.kernel_hash_page()
}

/// Firmware without SEV metadata has no page for the hashes either: the answer when there is a kernel.
fn lacks_hashes(error: MeasureError) -> MeasureError {
    match error {
        MeasureError::EntryMissing { entry: Entry::SevMetadata } => MeasureError::NoKernelHashes,
        other => other,
    }
}

impl Memory {
    /// Measures the firmware and the pages of its metadata.
    pub fn load(
        firmware: Firmware<'_>,
        kernel: Option<&KernelHashes>,
        vmm: Vmm,
    ) -> Result<Self, MeasureError> {
        let read = |file, place| {
            let metadata = SnpMetadata::read(file, place);
            if kernel.is_some() { metadata.map_err(lacks_hashes) } else { metadata }
        };
        let (mut chain, metadata) = match firmware {
            Firmware::Whole(file) => {
                whole_pages(Part::SnpFirmware, file)?;
                let size = file.len() as u64;
                let metadata = read(file, Some(Range { address: FOUR_GIB - size, size }))?;
                let mut chain = Chain::new();
                chain.firmware(file);
                (chain, metadata)
            }
            Firmware::Tail { measured, tail } => (Chain::resume(measured), read(tail, None)?),
        };
        let hashes = match kernel {
            Some(_) if vmm == Vmm::Gce => return Err(MeasureError::KernelWithoutDirectBoot),
            Some(hashes) => Some(metadata.kernel_hash_page()?.fill(hashes)),
            None => None,
        };
        let (cpuid, others): (Vec<_>, Vec<_>) = (metadata.sections.iter())
            .partition(|section| vmm.adds_cpuid_last() && section.kind == SectionType::Cpuid);
        for section in others.into_iter().chain(cpuid) {
            add_section(&mut chain, section, hashes.as_deref(), vmm);
        }
        Ok(Self { chain, vmm, reset_vector: metadata.reset_vector })
    }

    /// Measures `vcpus` save areas on top: the boot processor's, then the others', which are all alike.
    pub fn start(
        &self,
        vcpus: u32,
        model: VcpuModel,
        features: SevFeatures,
    ) -> Result<Hex<48>, MeasureError> {
        if vcpus == 0 || vcpus > VCPUS_MAX {
            return Err(MeasureError::VcpuCount { limit: VCPUS_MAX, got: vcpus });
        }
        let boot = vmsa::digest(vmsa::BOOT_VECTOR, self.vmm, model, features);
        let secondary = vmsa::digest(self.reset_vector, self.vmm, model, features);
        let mut chain = self.chain.clone();
        for index in 0..vcpus {
            let contents = if index == 0 { &boot } else { &secondary };
            chain.page(PageType::Vmsa, vmsa::GUEST_ADDRESS, contents);
        }
        Ok(chain.digest())
    }
}

/// The pages of one section, as the VMM hands them to the security processor.
fn add_section(chain: &mut Chain, section: &Section, hashes: Option<&[u8; PAGE]>, vmm: Vmm) {
    match (section.kind, hashes) {
        (SectionType::SecureMemory, _) => chain.without_contents(vmm.secure_memory(), section.range),
        (SectionType::Secrets, _) => chain.without_contents(PageType::Secrets, section.range),
        (SectionType::Cpuid, _) => chain.without_contents(PageType::Cpuid, section.range),
        (SectionType::KernelHashes, Some(page)) => {
            chain.page(PageType::Normal, section.range.address, &super::hash::sha384(page));
        }
        (SectionType::KernelHashes, None) | (SectionType::CallingArea, _) => {
            chain.without_contents(PageType::Zero, section.range);
        }
    }
}
