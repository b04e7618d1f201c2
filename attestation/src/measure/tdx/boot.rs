//! The events of QEMU's direct boot: what the firmware and the kernel's EFI stub extend.

use super::Separator;
use crate::Hex;
use crate::measure::CommandLine;
use crate::measure::hash::sha384;

/// What `TdTcg2Dxe` extends as text when it leaves for the kernel (TCG PC Client Platform Firmware Profile,
/// 10.4.4).
const CALLING: &[u8] = b"Calling EFI Application from Boot Option";
const EXIT_INVOKED: &[u8] = b"Exit Boot Services Invocation";
const EXIT_RETURNED: &[u8] = b"Exit Boot Services Returned with Success";
/// EV_SEPARATOR of a boot without error.
const SEPARATOR: [u8; 4] = [0; 4];

/// What the firmware appends when there is an initrd (edk2 `OvmfPkg/Library/GenericQemuLoadImageLib`).
const INITRD_ARGUMENT: &str = " initrd=initrd";

/// RTMR1: the kernel ([`kernel_digest`](super::kernel_digest)), then the marks of leaving the firmware.
pub fn rtmr1_events(kernel: Hex<48>, separator: Separator) -> Vec<Hex<48>> {
    let mut events = vec![kernel, Hex(sha384(CALLING))];
    match separator {
        Separator::Present => events.push(Hex(sha384(&SEPARATOR))),
        Separator::Absent => {}
    }
    events.extend([EXIT_INVOKED, EXIT_RETURNED].map(|text| Hex(sha384(text))));
    events
}

/// RTMR2: the command line, then the initrd, which is empty when there is none.
///
/// Of a kernel whose EFI stub measures through the CC protocol
/// (`drivers/firmware/efi/libstub/efi-stub-helper.c`, Linux 6.9 and newer).
pub fn rtmr2_events(cmdline: &CommandLine, initrd: &[u8]) -> Vec<Hex<48>> {
    let suffix = if initrd.is_empty() { "" } else { INITRD_ARGUMENT };
    // The options of the loaded image: UTF-16, little endian, with the NUL.
    let options: Vec<u8> = cmdline
        .as_str()
        .encode_utf16()
        .chain(suffix.encode_utf16())
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect();
    let initrd = (!initrd.is_empty()).then(|| Hex(sha384(initrd)));
    std::iter::once(Hex(sha384(&options))).chain(initrd).collect()
}
