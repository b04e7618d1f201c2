//! Names under which NVIDIA's RIM service files manifests; a manifest does not state its own.

use std::fmt;

use crate::policy::Architecture;

/// Name of a manifest, as in `NV_GPU_DRIVER_GH100_550.144.03`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RimId(String);

/// What a signed GPU report says of its board: opaque fields 17, 18 and 15, without final NUL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Board<'a> {
    pub project: &'a str,
    pub project_sku: &'a str,
    pub chip_sku: &'a str,
}

impl RimId {
    /// Of a driver: Hopper has a name without chip information, later chips have one of their own.
    pub fn driver(architecture: Architecture, chip: &str, version: &str) -> Self {
        Self(match architecture {
            Architecture::Hopper => format!("NV_GPU_DRIVER_{chip}_{version}"),
            Architecture::Blackwell | Architecture::Ls10 => format!("NV_GPU_CC_DRIVER_{chip}_{version}"),
        })
    }

    /// Of a GPU's firmware of this version, as in `96.00.9F.00.01`.
    pub fn vbios(board: Board<'_>, version: &str) -> Self {
        let Board { project, project_sku, chip_sku } = board;
        let board = format!("{project}_{project_sku}_{chip_sku}").to_ascii_uppercase();
        Self(format!("NV_GPU_VBIOS_{board}_{}", digits(version)))
    }

    /// Of the firmware of the one switch that there is, LS10.
    pub fn switch_bios(version: &str) -> Self {
        Self(format!("NV_SWITCH_BIOS_5612_0002_890_{}", digits(version)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A firmware version without dots, in capitals.
fn digits(version: &str) -> String {
    version.chars().filter(|&digit| digit != '.').collect::<String>().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_service() {
        let name = RimId::driver(Architecture::Hopper, "GH100", "550.144.03");
        assert_eq!(name.as_str(), "NV_GPU_DRIVER_GH100_550.144.03");
        let name = RimId::driver(Architecture::Blackwell, "GB100", "580.95.05");
        assert_eq!(name.as_str(), "NV_GPU_CC_DRIVER_GB100_580.95.05");
        let board = Board { project: "1010", project_sku: "0200", chip_sku: "882" };
        let name = RimId::vbios(board, "96.00.5e.00.01");
        assert_eq!(name.as_str(), "NV_GPU_VBIOS_1010_0200_882_96005E0001");
        let name = RimId::switch_bios("96.10.55.00.01");
        assert_eq!(name.as_str(), "NV_SWITCH_BIOS_5612_0002_890_9610550001");
    }
}
