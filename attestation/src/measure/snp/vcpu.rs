//! vCPU models by their QEMU name, and what CPUID reports for them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::measure::MeasureError;

/// Most vCPUs of one guest.
pub const VCPUS_MAX: u32 = 512;

/// A vCPU model that QEMU knows (`target/i386/cpu.c`, `builtin_x86_defs`).
///
/// All versions of a model report the same signature, so they measure alike; the name is kept because it
/// is what the launcher passes to `-cpu`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VcpuModel {
    name: &'static str,
    signature: u32,
}

/// Family, model and stepping that CPUID Fn0000_0001_EAX encodes.
const NAPLES: u32 = signature(0x17, 0x01, 2);
const ROME: u32 = signature(0x17, 0x31, 0);
const MILAN: u32 = signature(0x19, 0x01, 1);
const GENOA: u32 = signature(0x19, 0x11, 0);
const TURIN: u32 = signature(0x1A, 0x00, 0);

const MODELS: &[(&str, u32)] = &[
    ("EPYC", NAPLES),
    ("EPYC-v1", NAPLES),
    ("EPYC-v2", NAPLES),
    ("EPYC-v3", NAPLES),
    ("EPYC-v4", NAPLES),
    ("EPYC-v5", NAPLES),
    ("EPYC-IBPB", NAPLES),
    ("EPYC-Rome", ROME),
    ("EPYC-Rome-v1", ROME),
    ("EPYC-Rome-v2", ROME),
    ("EPYC-Rome-v3", ROME),
    ("EPYC-Rome-v4", ROME),
    ("EPYC-Rome-v5", ROME),
    ("EPYC-Milan", MILAN),
    ("EPYC-Milan-v1", MILAN),
    ("EPYC-Milan-v2", MILAN),
    ("EPYC-Milan-v3", MILAN),
    ("EPYC-Genoa", GENOA),
    ("EPYC-Genoa-v1", GENOA),
    ("EPYC-Genoa-v2", GENOA),
    ("EPYC-Turin", TURIN),
    ("EPYC-Turin-v1", TURIN),
    ("EPYC-Turin-v2", TURIN),
];

/// CPUID Fn0000_0001_EAX (APM volume 3): a family above 15 goes into the extended field.
const fn signature(family: u32, model: u32, stepping: u32) -> u32 {
    let (base, extended) = if family > 0xF { (0xF, family - 0xF) } else { (family, 0) };
    extended << 20 | (model >> 4) << 16 | base << 8 | (model & 0xF) << 4 | stepping
}

impl VcpuModel {
    /// Every name that is known.
    pub fn names() -> impl Iterator<Item = &'static str> {
        MODELS.iter().map(|(name, _)| *name)
    }

    /// The name, as `-cpu` takes it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What CPUID Fn0000_0001 returns in EAX, and the processor in RDX at reset.
    pub fn signature(&self) -> u32 {
        self.signature
    }
}

impl FromStr for VcpuModel {
    type Err = MeasureError;

    fn from_str(text: &str) -> Result<Self, MeasureError> {
        let (name, signature) =
            MODELS.iter().find(|(name, _)| *name == text).ok_or(MeasureError::VcpuModelUnknown)?;
        Ok(Self { name, signature: *signature })
    }
}

impl fmt::Display for VcpuModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for VcpuModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#x})", self.name, self.signature)
    }
}

impl Serialize for VcpuModel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for VcpuModel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
