//! The manifests of one device, out of all that were given (GPU-09 to GPU-12).

use std::fmt;
use std::sync::atomic::Ordering;

use super::authentic::{self, AuthenticRim, Opened};
use super::matching::{Comparison, Decoder, NVDEC0_INDEX, Source, compare};
use super::swid::{GOLDEN_LEN, Manifest};
use crate::chain::{Gap, Links, Revocation, TrustAnchors};
use crate::checks::{CheckId, Code};
use crate::collateral::Collateral;
use crate::evidence::DeviceKind;
use crate::policy::{AppraisalPolicy, Architecture};
use crate::trace::{Judged, Submod, Trace, Vendor};

const UNREAD: &str = "no authentic manifest of this product";

/// Manifests of the collateral, each opened once.
#[derive(Debug)]
pub struct Library(Vec<Opened>);

/// What a signed report says that manifests are chosen by and compared with.
#[derive(Debug, Clone, Copy)]
pub struct Reported<'a> {
    /// Chip as manifests name it: `GH100`, `GB100`, `LS10`.
    pub chip: &'a str,
    pub software: Software<'a>,
    /// Index and value of each measurement block, each index once.
    pub blocks: &'a [(u8, [u8; GOLDEN_LEN])],
    /// Opaque field 11.
    pub nvdec0: Option<u8>,
}

/// Versions that the report names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Software<'a> {
    Gpu { driver: &'a str, vbios: &'a str },
    Switch { bios: &'a str },
}

/// What the manifests showed of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// Golden values that the device has.
    pub matched: usize,
    /// Of the chains of all manifests in use; for GPU-08.
    pub revocation: Revocation,
}

impl Library {
    /// Opens all manifests of the collateral at `now` (Unix seconds).
    pub fn open(collateral: &Collateral, anchors: &TrustAnchors, links: &Links, now: u64) -> Self {
        let open = |rim: &crate::Base64Bytes| Opened::read(rim.as_ref(), anchors, collateral, links, now);
        Self(collateral.rims.iter().map(open).collect())
    }

    /// RIM-01 to RIM-04 and GPU-08 of each manifest by itself, without a device. `now` in Unix seconds.
    pub(crate) fn alone(&self, policy: &AppraisalPolicy, now: u64, trace: &mut Trace) {
        for (opened, index) in self.0.iter().zip(0..) {
            trace.turn_to(Submod::Rim(index));
            authentic::note(std::iter::once(opened), trace);
            if let Ok(authentic) = &opened.authentic {
                trace.revocation(Vendor::Nvidia, authentic.revocation(), policy, now);
            }
        }
    }

    /// RIM-01 to RIM-04 of each manifest that no device was compared with, so that a forged one is not passed over.
    /// What is known about its signers' revocation, and whether its time is past, matters to no device.
    pub(crate) fn left_over(&self, trace: &mut Trace) {
        for (opened, index) in self.0.iter().zip(0..) {
            if !opened.used.load(Ordering::Relaxed) && !opened.out_of_time() {
                trace.turn_to(Submod::Rim(index));
                authentic::note(std::iter::once(opened), trace);
            }
        }
    }

    /// Runs RIM-01 to RIM-04 and GPU-09 to GPU-12 on one device; `trace` holds each verdict.
    pub fn judge(&self, reported: &Reported<'_>, policy: &AppraisalPolicy, trace: &mut Trace) -> Compared {
        let wanted = reported.software.wanted();
        let chosen: Vec<(Source, &str, Option<&Opened>)> = wanted
            .iter()
            .map(|&(source, version)| (source, version, self.choose(source, version, reported)))
            .collect();
        for (source, version, opened) in &chosen {
            if let Some(opened) = opened {
                opened.used.store(true, Ordering::Relaxed);
            }
            let claimed = opened.and_then(|opened| opened.claimed.as_deref());
            if !claimed.is_some_and(|manifest| fits(manifest, *source, version, reported.chip)) {
                trace.lacks(format_args!("{source} manifest {} {version}", reported.chip));
            }
        }
        authentic::note(chosen.iter().filter_map(|(_, _, opened)| *opened), trace);
        trace.note(CheckId::Gpu09, present(&chosen, reported.chip, policy));
        // Values of another product's manifest say nothing of this device.
        let manifests: Vec<(Source, &AuthenticRim)> = chosen
            .iter()
            .filter_map(|(source, _, opened)| Some((*source, (*opened)?.authentic.as_ref().ok()?)))
            .filter(|(_, rim)| rim.manifest().product() == reported.chip)
            .collect();
        let read: Vec<_> = manifests.iter().map(|(source, rim)| (*source, rim.manifest())).collect();
        let comparison = compare(&read, reported.blocks, reported.nvdec0);
        let given = chosen.iter().any(|(_, _, opened)| opened.is_some());
        let unread = |judged: fn(&Comparison) -> Judged| match (read.is_empty(), given) {
            (false, _) => judged(&comparison),
            (true, true) => Judged::not_shown(UNREAD),
            (true, false) => policy.absent(Code::MeasurementsMissing, "golden values", "no manifest"),
        };
        trace.note(CheckId::Gpu12, unread(anything_measured));
        let compared = |judged: fn(&Comparison) -> Judged| match read.is_empty() {
            false => judged(&comparison),
            true => Judged::not_shown(UNREAD),
        };
        trace.note(CheckId::Gpu10, compared(all_equal));
        trace.note(CheckId::Gpu11, compared(decoder_left_out));
        let revocation = manifests.iter().map(|(_, rim)| rim.revocation()).reduce(Revocation::and);
        Compared {
            matched: comparison.matched,
            revocation: revocation.unwrap_or(Revocation::Unknown { why: Gap::NoList }),
        }
    }

    /// The manifest for one part of the device's software.
    ///
    /// First those of its chip and version: an authentic one before others, then the one that fits the
    /// measurements best, since boards of one version have manifests of their own. Then what can't be read,
    /// which might have been it; then one of another version for the same kind of device, so that the report
    /// shows what differs. Manifests of switches are no near miss for a GPU, nor the other way round.
    fn choose(&self, source: Source, version: &str, reported: &Reported<'_>) -> Option<&Opened> {
        let device = reported.software.device();
        let rank = |opened: &&Opened| {
            let Some(manifest) = &opened.claimed else { return Some((2, 0)) };
            if !fits(manifest, source, version, reported.chip) {
                let near = kind(manifest) == kind_of(source) && made_for(manifest) == Some(device);
                let other_product = usize::from(manifest.product() != reported.chip);
                return near.then_some((3, other_product));
            }
            let found = compare(&[(source, manifest)], reported.blocks, reported.nvdec0);
            let differing =
                found.mismatches.len() + usize::from(matches!(found.decoder, Decoder::Differs(_)));
            Some((if opened.authentic.is_ok() { 0 } else { 1 }, differing))
        };
        self.0.iter().filter(|opened| rank(opened).is_some()).min_by_key(|opened| rank(opened))
    }
}

impl<'a> Software<'a> {
    fn device(self) -> DeviceKind {
        match self {
            Self::Gpu { .. } => DeviceKind::Gpu,
            Self::Switch { .. } => DeviceKind::Switch,
        }
    }

    /// Every manifest that must be there, with its version.
    fn wanted(self) -> Vec<(Source, &'a str)> {
        match self {
            Self::Gpu { driver, vbios } => vec![(Source::Driver, driver), (Source::Vbios, vbios)],
            Self::Switch { bios } => vec![(Source::Bios, bios)],
        }
    }
}

/// A manifest says neither driver nor firmware; their versions differ in shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Driver,
    /// Five groups of two hex digits, as in `96.00.9F.00.01`.
    Firmware,
}

fn kind(manifest: &Manifest) -> Kind {
    let mut groups = 0;
    let hex = manifest.version().split('.').all(|group| {
        groups += 1;
        group.len() == 2 && group.bytes().all(|digit| digit.is_ascii_hexdigit())
    });
    if hex && groups == 5 { Kind::Firmware } else { Kind::Driver }
}

/// GPU or switch, by the product's name; none for a product that nobody here knows.
fn made_for(manifest: &Manifest) -> Option<DeviceKind> {
    Architecture::of_chip(manifest.product()).map(Architecture::kind)
}

fn kind_of(source: Source) -> Kind {
    match source {
        Source::Driver => Kind::Driver,
        Source::Vbios | Source::Bios => Kind::Firmware,
    }
}

/// The manifest is for this chip and version; hex digits of a firmware version in any case.
fn fits(manifest: &Manifest, source: Source, version: &str, chip: &str) -> bool {
    let same_version = match kind_of(source) {
        Kind::Driver => manifest.version() == version,
        Kind::Firmware => manifest.version().eq_ignore_ascii_case(version),
    };
    kind(manifest) == kind_of(source) && same_version && manifest.product() == chip
}

/// GPU-09: a manifest for each part of the software, of the reported chip and version.
fn present(chosen: &[(Source, &str, Option<&Opened>)], chip: &str, policy: &AppraisalPolicy) -> Judged {
    let expected =
        Listed(chosen.iter().map(|(source, version, _)| format!("{source} {chip} {version}")).collect());
    let mut other = Vec::new();
    for (source, version, opened) in chosen {
        match opened.map(|opened| (&opened.claimed, &opened.authentic)) {
            Some((Some(manifest), _)) if fits(manifest, *source, version, chip) => {}
            Some((_, Ok(rim))) => {
                other.push(format!("{source} {} {}", rim.manifest().product(), rim.manifest().version()));
            }
            // Unread or of unknown origin: what it says is not repeated here.
            Some((_, Err(_))) => other.push(format!("{source} of no known version")),
            None => {}
        }
    }
    if !other.is_empty() {
        return Judged::fail(Code::RimVersionMismatch, expected, Listed(other));
    }
    let missing: Vec<_> = chosen
        .iter()
        .filter(|(.., opened)| opened.is_none())
        .map(|(source, ..)| format!("no {source} manifest"))
        .collect();
    if missing.is_empty() {
        Judged::pass(&expected, &expected)
    } else {
        policy.absent(Code::RimMissing, expected, Listed(missing))
    }
}

/// GPU-12: there is something to compare on either side.
fn anything_measured(found: &Comparison) -> Judged {
    Judged::require(
        found.empty.is_empty() && found.blocks > 0,
        Code::MeasurementsMissing,
        "active golden values in every manifest, and measurements",
        format_args!("{} manifest(s) without, {} measurements", found.empty.len(), found.blocks),
    )
}

/// GPU-10: no value is in dispute, and every other one than the decoder's is the device's.
fn all_equal(found: &Comparison) -> Judged {
    if !found.conflicts.is_empty() {
        return Judged::fail(
            Code::RimIndexConflict,
            "each index active in one manifest",
            Listed(found.conflicts.iter().map(u8::to_string).collect()),
        );
    }
    let differing = Listed(found.mismatches.iter().map(ToString::to_string).collect());
    Judged::require(
        found.mismatches.is_empty(),
        Code::MeasurementMismatch,
        "every active golden value",
        if found.mismatches.is_empty() { format!("{} equal", found.matched) } else { differing.to_string() },
    )
}

/// GPU-11: the decoder's value may differ only while the report says that the decoder is off.
fn decoder_left_out(found: &Comparison) -> Judged {
    let expected = format_args!("measurement {NVDEC0_INDEX}, unless NVDEC0 is off").to_string();
    match found.decoder {
        Decoder::NotListed => Judged::not_applicable("no manifest has it active"),
        Decoder::Off => Judged::pass(expected, "NVDEC0 is off"),
        Decoder::Matches => Judged::pass(expected, "equal"),
        Decoder::Differs(source) => {
            Judged::fail(Code::MeasurementMismatch, expected, format_args!("{source} {NVDEC0_INDEX}"))
        }
    }
}

struct Listed(Vec<String>);

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}
