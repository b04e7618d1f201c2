//! Why no evidence was had.

use std::io;

/// What one collection met. Numbers, and names from the sources; nothing that a device or the host said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// No interface that gives this evidence is there.
    #[error("{what}: looked for {looked_for} and found none\n  {fix}")]
    Absent { what: &'static str, looked_for: String, fix: &'static str },
    /// The kernel refused a step.
    #[error("{step}: {source}")]
    Io { step: &'static str, source: io::Error },
    /// A name in a kernel's folder leads elsewhere.
    #[error(
        "{what}: expected the kernel's own file, found a symbolic link\n  look at what the image mounts there"
    )]
    Redirected { what: &'static str },
    /// The report interface belongs to another platform.
    #[error(
        "provider: expected sev_guest or tdx_guest, found another\n  this program appraises no other platform"
    )]
    Provider,
    /// Somebody else wrote to our entry.
    #[error(
        "generation: expected {expected} own writes, found {got}\n  only this program may open the interface"
    )]
    Raced { expected: u64, got: u64 },
    /// More than is ever read.
    #[error("{what}: expected at most {limit}, found more")]
    TooLarge { what: &'static str, limit: usize },
    /// Fewer or more bytes than the format has or declares.
    #[error("{what}: expected {expected} bytes, found {got}")]
    Length { what: &'static str, expected: u64, got: u64 },
    /// Bytes that are not the format.
    #[error("{what}: expected {expected}")]
    Format { what: &'static str, expected: &'static str },
    /// Evidence over other data than was given.
    #[error("{what}: answers other data than was asked")]
    NotOurs { what: &'static str },
    /// The process that reads a device ended or said nothing that is an answer.
    #[error("reader of {device}: {why}")]
    Reader { device: &'static str, why: ReaderEnd },
    /// The device or its driver refused a step.
    #[error("{device}: {step} failed with code {code}")]
    Device { device: &'static str, step: &'static str, code: i64 },
    /// Two ways of counting the GPUs differ.
    #[error(
        "GPUs: the PCI bus has {pci}, the driver names {driver}\n  all GPUs of a guest must be driven and attested"
    )]
    DeviceCount { pci: usize, driver: usize },
}

/// How a reader process failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReaderEnd {
    #[error("could not be started")]
    NotStarted,
    #[error("no answer within {0} ms")]
    Late(u128),
    #[error("ended with code {0} and no answer")]
    Code(i32),
    #[error("ended by signal {0}")]
    Signal(i32),
    #[error("an answer of more than {0} bytes")]
    TooLarge(usize),
    #[error("an answer that is none")]
    Garbled,
}

impl CollectError {
    pub(super) fn io(step: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { step, source }
    }
}
