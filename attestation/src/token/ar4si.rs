//! Trustworthiness vectors (draft-ietf-rats-ar4si): which check feeds which claim, and what a verdict is worth.

use serde::{Deserialize, Serialize};

use crate::checks::{CheckOutcome, Part, Verdict};
use crate::trace::Submod;

/// Values that this crate gives; a category has its own word for each.
const NONE: i8 = 0;
const AFFIRMING: i8 = 2;
/// Only what was loaded at boot is vouched for: the affirming value of `executables`.
const APPROVED_BOOT: i8 = 3;
const WARNING: i8 = 32;
const CONTRAINDICATED: i8 = 96;

/// Trust in one part of the evidence, best first; `None` is no statement at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    None,
    Affirming,
    Warning,
    Contraindicated,
}

impl Tier {
    /// The tier of a claim's value (AR4SI, trustworthiness tiers).
    pub fn of(value: i8) -> Self {
        match value {
            -1..=1 => Self::None,
            -32..=-2 | 2..=31 => Self::Affirming,
            -96..=-33 | 32..=95 => Self::Warning,
            i8::MIN..=-97 | 96..=i8::MAX => Self::Contraindicated,
        }
    }
}

/// The eight trustworthiness claims about one part of the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Vector {
    pub instance_identity: i8,
    pub configuration: i8,
    pub executables: i8,
    pub file_system: i8,
    pub hardware: i8,
    pub runtime_opaque: i8,
    pub storage_opaque: i8,
    pub sourced_data: i8,
}

impl Vector {
    /// The worst tier of its members.
    pub fn tier(&self) -> Tier {
        self.members().into_iter().map(Tier::of).max().unwrap_or(Tier::None)
    }

    fn members(&self) -> [i8; 8] {
        self.named().map(|(_, value)| value)
    }

    /// The eight claims in words, with their values.
    pub fn named(&self) -> [(&'static str, i8); 8] {
        let Self {
            instance_identity,
            configuration,
            executables,
            file_system,
            hardware,
            runtime_opaque,
            storage_opaque,
            sourced_data,
        } = *self;
        [
            ("identity", instance_identity),
            ("configuration", configuration),
            ("executables", executables),
            ("file system", file_system),
            ("hardware", hardware),
            ("memory", runtime_opaque),
            ("storage", storage_opaque),
            ("data", sourced_data),
        ]
    }
}

/// A category of trustworthiness (AR4SI).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Category {
    InstanceIdentity,
    Configuration,
    Executables,
    FileSystem,
    Hardware,
    RuntimeOpaque,
    StorageOpaque,
    SourcedData,
}

/// What must have passed before one category of one kind of part is affirmed.
struct Row {
    part: Part,
    category: Category,
    /// Must have passed.
    shown: &'static [&'static str],
    /// Must have passed where they have an object.
    where_it_applies: &'static [&'static str],
}

const fn row(
    part: Part,
    category: Category,
    shown: &'static [&'static str],
    where_it_applies: &'static [&'static str],
) -> Row {
    Row { part, category, shown, where_it_applies }
}

/// ATTESTATION 12. A category without a row for a part is never affirmed of it: memory of a GPU is isolated, not shown
/// to be encrypted, and a device has neither files nor data of its own.
const TABLE: &[Row] = {
    use Category::*;
    use Part::{Gpu, Snp, Switch, Tdx};
    &[
        row(Snp, InstanceIdentity, &["SNP-15", "SNP-17"], &["SNP-16"]),
        row(Snp, Configuration, &["BND-08", "SNP-18", "SNP-19", "SNP-20", "SNP-21"], &[]),
        row(Snp, Executables, &["SNP-22"], &["SNP-23"]),
        row(Snp, FileSystem, &["SNP-22"], &[]),
        row(
            Snp,
            Hardware,
            &[
                "SNP-04", "SNP-06", "SNP-07", "SNP-08", "SNP-09", "SNP-10", "SNP-11", "SNP-12", "SNP-13",
                "SNP-14",
            ],
            &["SNP-24", "COL-01", "COL-02", "COL-03", "COL-04"],
        ),
        row(Snp, RuntimeOpaque, &["SNP-04", "SNP-18"], &[]),
        row(Snp, StorageOpaque, &["SNP-22"], &[]),
        row(Snp, SourcedData, &["BND-07"], &[]),
        row(Tdx, InstanceIdentity, &["TDX-19"], &[]),
        row(Tdx, Configuration, &["BND-08", "TDX-13", "TDX-14", "TDX-15"], &["TDX-16"]),
        row(Tdx, Executables, &["TDX-17", "TDX-18"], &[]),
        row(Tdx, FileSystem, &["TDX-17", "TDX-18"], &[]),
        row(
            Tdx,
            Hardware,
            &["TDX-04", "TDX-05", "TDX-06", "TDX-07", "TDX-08", "TDX-09", "TDX-10", "TDX-11", "TDX-12"],
            &["COL-01", "COL-02", "COL-03", "COL-04"],
        ),
        row(Tdx, RuntimeOpaque, &["TDX-04", "TDX-13"], &[]),
        row(Tdx, StorageOpaque, &["TDX-17", "TDX-18"], &[]),
        row(Tdx, SourcedData, &["BND-07"], &[]),
        row(Gpu, InstanceIdentity, &["GPU-15", "GPU-16"], &[]),
        row(Gpu, Configuration, &["GPU-13", "GPU-14", "GPU-17"], &["GPU-18"]),
        row(Gpu, Executables, &["GPU-09", "GPU-10", "GPU-12"], &["GPU-11"]),
        row(
            Gpu,
            Hardware,
            &["GPU-03", "GPU-04", "GPU-05", "GPU-06", "GPU-07", "GPU-08"],
            &["COL-01", "COL-02", "COL-03", "COL-04"],
        ),
        row(Switch, InstanceIdentity, &["GPU-15", "GPU-16"], &[]),
        row(Switch, Configuration, &["GPU-17"], &["GPU-13", "GPU-14", "GPU-18"]),
        row(Switch, Executables, &["GPU-09", "GPU-10", "GPU-12"], &["GPU-11"]),
        row(
            Switch,
            Hardware,
            &["GPU-03", "GPU-04", "GPU-07", "GPU-08"],
            &["GPU-05", "GPU-06", "COL-01", "COL-02", "COL-03", "COL-04"],
        ),
    ]
};

/// What the checks say of one part, and what they cannot say.
pub(super) struct Subject<'a> {
    pub(super) trace: &'a [CheckOutcome],
    pub(super) part: Part,
    pub(super) submod: Submod,
    /// Whose hardware vouches for it, and whether it is sound.
    pub(super) hardware: Hardware,
    /// Root file system, by the image's own manifest.
    pub(super) file_system: Stated,
    /// Encrypted scratch space, likewise.
    pub(super) storage: Stated,
    /// Data by digest in the charter.
    pub(super) data: Stated,
}

/// Standing of the hardware that signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hardware {
    /// A vendor's, of a kind that charters above `lab` accept.
    Sound,
    /// A vendor's, of a kind that only `lab` accepts: its weakness is known.
    Weak,
    /// Not a vendor's: nothing is backed by hardware.
    Foreign,
}

/// Whether the issuer states something that the checks by themselves do not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stated {
    Yes,
    No,
}

impl Subject<'_> {
    pub(super) fn vector(&self) -> Vector {
        Vector {
            instance_identity: self.value(Category::InstanceIdentity),
            configuration: self.value(Category::Configuration),
            executables: self.value(Category::Executables),
            file_system: self.value(Category::FileSystem),
            hardware: self.value(Category::Hardware),
            runtime_opaque: self.value(Category::RuntimeOpaque),
            storage_opaque: self.value(Category::StorageOpaque),
            sourced_data: self.value(Category::SourcedData),
        }
    }

    /// Ids of the checks of this part that its level accepted with a warning.
    pub(super) fn warnings(&self) -> impl Iterator<Item = &CheckOutcome> {
        let name = self.submod.to_string();
        self.trace.iter().filter(move |row| row.submod == name && row.verdict == Verdict::Warning)
    }

    /// The worst of its rows; affirming only when each that must pass did.
    fn value(&self, category: Category) -> i8 {
        let stated = match category {
            Category::FileSystem => self.file_system,
            Category::StorageOpaque => self.storage,
            Category::SourcedData => self.data,
            // Another's signature shows no encrypted memory.
            Category::RuntimeOpaque if self.hardware == Hardware::Foreign => Stated::No,
            _ => Stated::Yes,
        };
        let row = TABLE.iter().find(|row| row.part == self.part && row.category == category);
        let (Some(row), Stated::Yes) = (row, stated) else { return NONE };
        let must = row.shown.iter().map(|id| match self.verdict(id) {
            Verdict::NotApplicable => Verdict::NotShown,
            other => other,
        });
        let may = row.where_it_applies.iter().map(|id| match self.verdict(id) {
            Verdict::NotApplicable => Verdict::Pass,
            other => other,
        });
        let doubted = category == Category::Hardware && self.hardware != Hardware::Sound;
        let doubt = doubted.then_some(Verdict::Warning);
        match must.chain(may).chain(doubt).max_by_key(|&verdict| severity(verdict)) {
            Some(Verdict::Pass) if category == Category::Executables => APPROVED_BOOT,
            Some(Verdict::Pass) => AFFIRMING,
            Some(Verdict::Warning) => WARNING,
            Some(Verdict::Fail) => CONTRAINDICATED,
            Some(Verdict::NotShown | Verdict::NotApplicable) | None => NONE,
        }
    }

    /// The worst verdict of a check on this part or on what binds the parts; not shown when it never ran.
    fn verdict(&self, id: &str) -> Verdict {
        let names = [self.submod.to_string(), Submod::Envelope.to_string()];
        let rows = self.trace.iter().filter(|row| row.check == *id && names.contains(&row.submod));
        rows.map(|row| row.verdict).max_by_key(|&verdict| severity(verdict)).unwrap_or(Verdict::NotShown)
    }
}

/// A failure outweighs a warning, a warning whatever is not shown, and that a pass.
fn severity(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::NotApplicable => 1,
        Verdict::NotShown => 2,
        Verdict::Warning => 3,
        Verdict::Fail => 4,
    }
}

#[cfg(test)]
mod tests;
