//! GPUs that the PCI bus shows, whether or not a driver took them (GPU-17).

use std::fs;
use std::io;
use std::path::Path;

use super::{CollectError, file};

/// Most GPUs of one guest.
pub(super) const GPUS_MAX: usize = 16;
const FUNCTIONS_MAX: usize = 4096;
const VENDOR_NVIDIA: &str = "0x10de";
/// Base class of display controllers: VGA, and 3D without a screen. NVSwitches are bridges, 0x06.
const CLASS_DISPLAY: &str = "0x03";
const BUS: &str = "PCI bus";

/// Counts NVIDIA's display controllers under `devices` (`/sys/bus/pci/devices`); a guest without the bus has none.
pub(super) fn gpus(devices: &Path) -> Result<usize, CollectError> {
    let functions = match fs::read_dir(devices) {
        Ok(functions) => functions,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(CollectError::io(BUS)(error)),
    };
    let (mut seen, mut gpus) = (0, 0);
    for function in functions {
        seen += 1;
        if seen > FUNCTIONS_MAX {
            return Err(CollectError::TooLarge { what: "PCI functions", limit: FUNCTIONS_MAX });
        }
        // The kernel's own links to the functions; their attributes are files.
        let function = function.map_err(CollectError::io(BUS))?.path();
        let vendor = file::read_line(&function.join("vendor"), "PCI vendor")?;
        let class = file::read_line(&function.join("class"), "PCI class")?;
        if vendor == VENDOR_NVIDIA && class.starts_with(CLASS_DISPLAY) {
            gpus += 1;
        }
    }
    if gpus > GPUS_MAX {
        return Err(CollectError::TooLarge { what: "GPUs", limit: GPUS_MAX });
    }
    Ok(gpus)
}
