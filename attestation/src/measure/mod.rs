//! What an image must measure to: bytes in, digest out (ATTESTATION 9).
//!
//! One calculation for the host that launches, the broker that releases and the auditor that looks back.
//! Firmware, kernel, initrd and command line come as bytes; nothing here opens a file. Where the known
//! calculators disagree about an input, that input is refused instead of guessed at.
//!
//! The digest of a guest under QEMU, on firmware that was built for measured direct boot:
//!
//! ```no_run
//! use tiltyard_attestation::measure::snp::{self, Firmware, KernelHashes, Launch, SevFeatures, Vmm};
//! use tiltyard_attestation::measure::CommandLine;
//!
//! # let [firmware, kernel, initrd] = [const { Vec::<u8>::new() }; 3];
//! let cmdline = CommandLine::new("quiet panic=-1")?;
//! let digest = snp::launch_digest(&Launch {
//!     firmware: Firmware::Whole(&firmware),
//!     kernel: Some(KernelHashes::of(&kernel, &initrd, &cmdline)),
//!     vmm: Vmm::Qemu,
//!     vcpus: 4,
//!     model: "EPYC-v4".parse()?,
//!     features: SevFeatures::new(0x1)?,
//! })?;
//! # Ok::<(), tiltyard_attestation::measure::MeasureError>(())
//! ```

mod cmdline;
mod error;
mod firmware;
mod hash;
pub mod manifest;
mod process;
pub mod snp;
pub mod tdx;

pub use cmdline::{CMDLINE_MAX_BYTES, CommandLine};
pub use error::{Entry, MeasureError, Part, Table};
pub use firmware::{FIRMWARE_MAX_BYTES, SECTIONS_MAX, SECTIONS_MAX_BYTES};
pub use process::process_measurement;

/// Largest kernel, in bytes.
pub const KERNEL_MAX_BYTES: usize = 128 << 20;
/// Largest initrd, in bytes.
pub const INITRD_MAX_BYTES: usize = 1 << 30;

/// Size of a page, in bytes: the unit that both technologies measure in.
const PAGE: usize = 4096;
/// End of the firmware in the guest's physical address space.
const FOUR_GIB: u64 = 1 << 32;
