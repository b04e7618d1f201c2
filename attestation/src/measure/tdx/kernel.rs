//! What the firmware measures of the kernel: its Authenticode digest, after QEMU's changes if it makes any.

use super::KernelForm;
use super::pe::authenticode_sha384;
use crate::Hex;
use crate::measure::error::{MeasureError, Part};
use crate::measure::firmware::u32_at;
use crate::measure::{CommandLine, INITRD_MAX_BYTES, KERNEL_MAX_BYTES, PAGE};

/// Smallest file that has a setup header, in bytes.
const SETUP_LEN: usize = 0x400;
/// Boot protocol 2.12, the first with the flag below (Linux `Documentation/arch/x86/boot.rst`).
const PROTOCOL_MIN: u16 = 0x20c;
/// `xloadflags`: the kernel may be loaded above 4 GiB.
const CAN_BE_LOADED_ABOVE_4G: u16 = 1 << 1;
/// `loadflags`: the kernel is loaded at 1 MiB; and what QEMU adds, that the heap may be used.
const LOADED_HIGH: u8 = 1;
const CAN_USE_HEAP: u8 = 0x80;
/// `type_of_loader` of QEMU, `heap_end_ptr` and `cmd_line_ptr` of a kernel that is loaded high.
const LOADER_QEMU: u8 = 0xb0;
const HEAP_END: u16 = 0xfe00;
const CMDLINE_ADDRESS: u32 = 0x20000;
/// What the `pc` and `q35` machines keep free for ACPI tables below the end of low memory.
const ACPI_DATA_LEN: u64 = 0x28000;

/// SHA-384 of the kernel as the first event of RTMR1 has it.
///
/// The changes are those of QEMU `x86_load_linux`, for a guest without device tree on machine `q35`.
pub fn kernel_digest(
    kernel: &[u8],
    initrd: &[u8],
    cmdline: &CommandLine,
    form: KernelForm,
) -> Result<Hex<48>, MeasureError> {
    for (part, file, limit) in
        [(Part::Kernel, kernel, KERNEL_MAX_BYTES), (Part::Initrd, initrd, INITRD_MAX_BYTES)]
    {
        if file.len() > limit {
            return Err(MeasureError::TooLarge { part, limit, got: file.len() });
        }
    }
    match form {
        KernelForm::File => authenticode_sha384(kernel),
        KernelForm::SetupHeader { memory_mib } => {
            // QEMU looks for the text anywhere in the line.
            if cmdline.as_str().contains("vga=") {
                return Err(MeasureError::CmdlineVga);
            }
            authenticode_sha384(&with_setup_header(kernel, initrd.len(), memory_mib)?)
        }
    }
}

fn with_setup_header(kernel: &[u8], initrd_len: usize, memory_mib: u32) -> Result<Vec<u8>, MeasureError> {
    if kernel.len() < SETUP_LEN {
        return Err(MeasureError::KernelFormat("shorter than a setup header"));
    }
    let half = |at| u32_at(kernel, at) as u16;
    if &kernel[0x202..0x206] != b"HdrS" {
        return Err(MeasureError::KernelFormat("no HdrS signature"));
    }
    if half(0x206) < PROTOCOL_MIN {
        return Err(MeasureError::KernelFormat("boot protocol before 2.12"));
    }
    if kernel[0x211] & LOADED_HIGH == 0 {
        return Err(MeasureError::KernelFormat("not loaded at 1 MiB"));
    }
    let mut patched = kernel.to_vec();
    patched[0x210] = LOADER_QEMU;
    patched[0x211] |= CAN_USE_HEAP;
    patched[0x224..0x226].copy_from_slice(&HEAP_END.to_le_bytes());
    patched[0x228..0x22c].copy_from_slice(&CMDLINE_ADDRESS.to_le_bytes());
    if initrd_len > 0 {
        let above = half(0x236) & CAN_BE_LOADED_ABOVE_4G != 0;
        let header_max = if above { u32::MAX } else { u32_at(kernel, 0x22c) };
        let address = initrd_address(initrd_len, header_max, memory_mib)?;
        patched[0x218..0x21c].copy_from_slice(&address.to_le_bytes());
        patched[0x21c..0x220].copy_from_slice(&(initrd_len as u32).to_le_bytes());
    }
    Ok(patched)
}

/// As high as it fits below the header's limit and the ACPI tables, on a page.
fn initrd_address(len: usize, header_max: u32, memory_mib: u32) -> Result<u32, MeasureError> {
    let memory = u64::from(memory_mib) << 20;
    // `q35` keeps 2 GiB below 4 GiB, or up to 2.75 GiB if that is all there is.
    let low_memory = if memory >= 0xb000_0000 { 0x8000_0000 } else { memory };
    let no_place = |limit| MeasureError::InitrdPlace { limit, got: len };
    let available = low_memory.checked_sub(ACPI_DATA_LEN + 1).ok_or(no_place(low_memory))?;
    let limit = u64::from(header_max).min(available);
    let start = limit.checked_sub(len as u64).filter(|start| *start > 0).ok_or(no_place(limit))?;
    u32::try_from(start & !(PAGE as u64 - 1)).map_err(|_| no_place(limit))
}
