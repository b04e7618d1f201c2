//! RIM-01 to RIM-04 and GPU-09 to GPU-12 of one device: which manifests are chosen, and what they show.

use tiltyard_attestation::chain::{Gap, Links, Revocation};
use tiltyard_attestation::checks::Part;
use tiltyard_attestation::nvidia::rim::{Compared, Library, NVDEC0_OFF, Reported, Software};
use tiltyard_attestation::policy::{AppraisalPolicy, Level};

use tiltyard_attestation::{Code, Collateral, Submod, Trace, Verdict};

use crate::fixture::{Draft, NOW, anchors, value};

const GPU: Software<'static> = Software::Gpu { driver: "550.144.03", vbios: "96.00.9F.00.01" };

struct Judged {
    trace: Trace,
    compared: Compared,
}

impl Judged {
    fn verdict(&self, check: &str) -> Verdict {
        let outcomes: Vec<_> =
            self.trace.outcomes().iter().filter(|outcome| outcome.check == *check).collect();
        assert_eq!(outcomes.len(), 1, "{check}");
        outcomes[0].verdict
    }

    fn got(&self, check: &str) -> &str {
        &self.trace.outcomes().iter().find(|outcome| outcome.check == *check).unwrap().got
    }

    fn codes(&self) -> Vec<(&'static str, Code)> {
        self.trace.findings().iter().map(|finding| (finding.check.as_str(), finding.code)).collect()
    }
}

struct Device<'a> {
    software: Software<'a>,
    chip: &'a str,
    /// Index in the manifest, and tag of the value.
    measured: &'a [(u8, u8)],
    nvdec0: Option<u8>,
    level: Level,
}

impl Default for Device<'_> {
    fn default() -> Self {
        Self { software: GPU, chip: "GH100", measured: &[(1, 1), (7, 7)], nvdec0: None, level: Level::Strict }
    }
}

impl Device<'_> {
    fn judge(&self, rims: &[String]) -> Judged {
        let rims = rims.iter().map(|rim| rim.clone().into_bytes().into()).collect();
        self.judge_with(&Collateral { rims, ..Collateral::none() })
    }

    fn judge_with(&self, collateral: &Collateral) -> Judged {
        let library = Library::open(collateral, &anchors("root"), &Links::new(), NOW);
        let blocks: Vec<_> = self.measured.iter().map(|&(index, tag)| (index + 1, value(tag))).collect();
        let reported =
            Reported { chip: self.chip, software: self.software, blocks: &blocks, nvdec0: self.nvdec0 };
        let mut trace = Trace::new();
        trace.begin(Submod::Gpu(0), Part::Gpu);
        let compared = library.judge(&reported, &AppraisalPolicy::preset(self.level), &mut trace);
        Judged { trace, compared }
    }
}

fn driver() -> String {
    Draft::of("GH100", "550.144.03", &[(7, 7)]).sign()
}

fn vbios() -> String {
    Draft::of("GH100", "96.00.9F.00.01", &[(1, 1)]).sign()
}

#[test]
fn a_device_that_its_manifests_describe_passes() {
    let judged = Device::default().judge(&[vbios(), driver()]);
    assert_eq!(judged.codes(), []);
    for check in ["RIM-01", "RIM-02", "RIM-03", "RIM-04", "GPU-09", "GPU-10", "GPU-12"] {
        assert_eq!(judged.verdict(check), Verdict::Pass, "{check}");
    }
    assert_eq!(judged.verdict("GPU-11"), Verdict::NotApplicable);
    assert_eq!(judged.compared.matched, 2);
    assert_eq!(judged.compared.revocation, Revocation::Unknown { why: Gap::NoList });
    // Hex digits of a firmware version in any case.
    let software = Software::Gpu { driver: "550.144.03", vbios: "96.00.9f.00.01" };
    assert_eq!(Device { software, ..Device::default() }.judge(&[driver(), vbios()]).codes(), []);
}

#[test]
fn a_switch_has_one_manifest() {
    let bios = Draft::of("LS10", "96.10.55.00.01", &[(1, 1), (7, 7)]).sign();
    let software = Software::Switch { bios: "96.10.55.00.01" };
    let device = Device { software, chip: "LS10", ..Device::default() };
    assert_eq!(device.judge(std::slice::from_ref(&bios)).codes(), []);
    let none = device.judge(&[]);
    assert_eq!(none.codes(), [("GPU-09", Code::RimMissing), ("GPU-12", Code::MeasurementsMissing)]);
    let other = device.judge(&[bios, driver(), vbios()]);
    assert_eq!(other.codes(), []);
}

#[test]
fn gpu_09_manifests_of_gpus_are_no_near_miss_for_a_switch() {
    let missing = [("GPU-09", Code::RimMissing), ("GPU-12", Code::MeasurementsMissing)];
    let software = Software::Switch { bios: "96.10.55.00.01" };
    let switch = Device { software, chip: "LS10", ..Device::default() };
    let judged = switch.judge(&[driver(), vbios()]);
    assert_eq!((judged.codes(), judged.got("GPU-09")), (missing.to_vec(), "no bios manifest"));
    assert_eq!((judged.verdict("GPU-10"), judged.compared.matched), (Verdict::NotShown, 0));
    // Not even one of the switch's version and values, nor one of a product that nobody knows.
    for product in ["GH100", "LS100"] {
        let namesake = Draft::of(product, "96.10.55.00.01", &[(1, 1), (7, 7)]).sign();
        assert_eq!(switch.judge(&[namesake]).codes(), missing, "{product}");
    }
    // Another version for the switch is one.
    let old = Draft::of("LS10", "96.10.55.00.02", &[(1, 9)]).sign();
    let judged = switch.judge(&[vbios(), old]);
    assert_eq!(judged.codes(), [("GPU-09", Code::RimVersionMismatch), ("GPU-10", Code::MeasurementMismatch)]);
    assert_eq!(judged.got("GPU-09"), "bios LS10 96.10.55.00.02");
    // And a switch's is none for a GPU.
    let bios = Draft::of("LS10", "96.00.9F.00.01", &[(1, 1)]).sign();
    let judged = Device::default().judge(&[driver(), bios]);
    assert_eq!((judged.codes(), judged.got("GPU-09")), (missing[..1].to_vec(), "no vbios manifest"));
}

#[test]
fn gpu_09_values_of_another_chip_are_not_compared() {
    let chip = || Draft::of("GB100", "550.144.03", &[(7, 9)]).sign();
    let judged = Device::default().judge(&[chip(), vbios()]);
    assert_eq!(judged.codes(), [("GPU-09", Code::RimVersionMismatch)]);
    assert_eq!((judged.verdict("GPU-10"), judged.compared.matched), (Verdict::Pass, 1));
    // Another version for the device's own chip comes before it.
    let own = Draft::of("GH100", "550.144.04", &[(7, 7)]).sign();
    let judged = Device::default().judge(&[chip(), own, vbios()]);
    assert_eq!(judged.got("GPU-09"), "driver GH100 550.144.04");
    let alone = Device::default().judge(&[chip()]);
    assert_eq!(alone.codes(), [("GPU-09", Code::RimVersionMismatch)]);
    for check in ["GPU-10", "GPU-11", "GPU-12"] {
        assert_eq!(alone.verdict(check), Verdict::NotShown, "{check}");
    }
}

#[test]
fn gpu_09_both_manifests_are_there() {
    let judged = Device::default().judge(&[driver()]);
    assert_eq!(judged.codes(), [("GPU-09", Code::RimMissing)]);
    assert_eq!(judged.got("GPU-09"), "no vbios manifest");
    // What is there was compared.
    assert_eq!((judged.verdict("GPU-10"), judged.compared.matched), (Verdict::Pass, 1));
    let none = Device::default().judge(&[]);
    assert_eq!(none.codes(), [("GPU-09", Code::RimMissing), ("GPU-12", Code::MeasurementsMissing)]);
    for check in ["RIM-01", "RIM-04", "GPU-10", "GPU-11"] {
        assert_eq!(none.verdict(check), Verdict::NotShown, "{check}");
    }
    // Missing ones can't be waived above an examination in lab.
    let standard = Device { level: Level::Standard, ..Device::default() };
    assert_eq!(standard.judge(&[vbios()]).codes(), [("GPU-09", Code::RimMissing)]);
    let lab = Device { level: Level::Lab, ..Device::default() }.judge(&[vbios()]);
    assert_eq!((lab.verdict("GPU-09"), lab.codes()), (Verdict::NotShown, vec![]));
}

#[test]
fn gpu_09_a_manifest_of_another_version_or_chip_is_named() {
    let other = Draft::of("GH100", "550.144.04", &[(7, 9)]).sign();
    let judged = Device::default().judge(&[other.clone(), vbios()]);
    assert_eq!(judged.codes(), [("GPU-09", Code::RimVersionMismatch), ("GPU-10", Code::MeasurementMismatch)]);
    assert_eq!(judged.got("GPU-09"), "driver GH100 550.144.04");
    let chip = Draft::of("GB100", "550.144.03", &[(7, 7)]).sign();
    let judged = Device::default().judge(&[chip, vbios()]);
    assert_eq!(judged.codes(), [("GPU-09", Code::RimVersionMismatch)]);
    assert_eq!(judged.got("GPU-09"), "driver GB100 550.144.03");
    // It does not matter beside the right one.
    assert_eq!(Device::default().judge(&[other, vbios(), driver()]).codes(), []);
    // No lab waives a wrong one.
    let lab = Device { level: Level::Lab, ..Device::default() };
    let old = Draft::of("GH100", "96.00.9F.00.02", &[(1, 1)]).sign();
    assert_eq!(lab.judge(&[old, driver()]).codes(), [("GPU-09", Code::RimVersionMismatch)]);
}

#[test]
fn gpu_10_mismatches_and_conflicts_are_listed() {
    let measured = &[(1, 9), (7, 9)][..];
    let judged = Device { measured, ..Device::default() }.judge(&[driver(), vbios()]);
    assert_eq!(judged.codes(), [("GPU-10", Code::MeasurementMismatch)]);
    assert_eq!(judged.got("GPU-10"), "driver 7, vbios 1");
    let both = Draft::of("GH100", "96.00.9F.00.01", &[(1, 1), (7, 7)]).sign();
    let judged = Device::default().judge(&[driver(), both]);
    assert_eq!(judged.codes(), [("GPU-10", Code::RimIndexConflict)]);
    assert_eq!(judged.got("GPU-10"), "7");
    for level in [Level::Lab, Level::Standard] {
        let judged = Device { measured, level, ..Device::default() }.judge(&[driver(), vbios()]);
        assert_eq!(judged.codes(), [("GPU-10", Code::MeasurementMismatch)], "{level:?}");
    }
}

#[test]
fn gpu_11_the_decoder_is_exempt_only_while_it_is_off() {
    let driver = Draft::of("GH100", "550.144.03", &[(7, 7), (35, 35)]).sign();
    let rims = [driver, vbios()];
    let judge = |measured, nvdec0| Device { measured, nvdec0, ..Device::default() }.judge(&rims);
    let (right, wrong) = (&[(1, 1), (7, 7), (35, 35)][..], &[(1, 1), (7, 7), (35, 9)][..]);
    assert_eq!(judge(wrong, Some(NVDEC0_OFF)).verdict("GPU-11"), Verdict::Pass);
    assert_eq!(judge(wrong, Some(NVDEC0_OFF)).codes(), []);
    assert_eq!(judge(right, Some(0xaa)).codes(), []);
    for on in [None, Some(0xaa), Some(0x56)] {
        let judged = judge(wrong, on);
        assert_eq!(judged.codes(), [("GPU-11", Code::MeasurementMismatch)], "{on:?}");
        assert_eq!(judged.got("GPU-11"), "driver 35");
    }
    // Not measured at all is no better.
    assert_eq!(judge(&[(1, 1), (7, 7)], None).codes(), [("GPU-11", Code::MeasurementMismatch)]);
}

#[test]
fn gpu_12_nothing_to_compare_is_a_failure() {
    let empty = Draft::of("GH100", "550.144.03", &[]).sign();
    let judged = Device::default().judge(&[empty, vbios()]);
    assert_eq!(judged.codes(), [("GPU-12", Code::MeasurementsMissing)]);
    let measured = &[][..];
    let judged = Device { measured, ..Device::default() }.judge(&[driver(), vbios()]);
    assert_eq!(
        judged.codes(),
        [("GPU-12", Code::MeasurementsMissing), ("GPU-10", Code::MeasurementMismatch)]
    );
}

#[test]
fn rim_03_a_forged_manifest_gives_no_golden_value() {
    let forged = driver().replace("0707", "0909");
    let judged = Device::default().judge(&[forged.clone(), vbios()]);
    assert_eq!(judged.codes(), [("RIM-03", Code::RimDigestMismatch)]);
    assert_eq!((judged.verdict("RIM-01"), judged.verdict("RIM-02")), (Verdict::Pass, Verdict::Pass));
    assert_eq!(judged.verdict("RIM-04"), Verdict::NotShown);
    assert_eq!(judged.compared.matched, 1);
    // It can't displace the authentic one of that version.
    assert_eq!(Device::default().judge(&[forged.clone(), vbios(), driver()]).codes(), []);
    // A forged one of another version is refused for what it is, and not quoted.
    let other = Draft::of("GH100", "1.2.3", &[(7, 7)]).sign().replace("0707", "0909");
    let judged = Device::default().judge(&[other, vbios()]);
    assert_eq!(judged.codes(), [("RIM-03", Code::RimDigestMismatch), ("GPU-09", Code::RimVersionMismatch)]);
    assert_eq!(judged.got("GPU-09"), "driver of no known version");
    let neither = Device::default().judge(&[forged, vbios().replace("0101", "0909")]);
    assert_eq!(neither.codes(), [("RIM-03", Code::RimDigestMismatch)]);
    for check in ["GPU-10", "GPU-11", "GPU-12"] {
        assert_eq!(neither.verdict(check), Verdict::NotShown, "{check}");
    }
}

#[test]
fn rim_01_to_04_the_first_failure_is_reported() {
    let broken = |xml: String| vec![xml, vbios()];
    let unsigned = Draft::of("GH100", "550.144.03", &[(7, 7)]).content();
    let stranger = Draft {
        certificates: vec!["signer_of_stranger", "stranger"],
        ..Draft::of("GH100", "550.144.03", &[(7, 7)])
    };
    for (rims, expected) in [
        (broken("<a>".to_owned()), ("RIM-01", Code::RimFormat)),
        (broken("x".repeat(1024 * 1024 + 1)), ("RIM-01", Code::TooLarge)),
        (
            broken(Draft::of("GH100", "550.144.03", &[(7, 7), (7, 7)]).sign()),
            ("RIM-01", Code::DuplicateRimIndex),
        ),
        (broken(unsigned), ("RIM-02", Code::RimFormat)),
        (broken(driver().replace("#ecdsa-sha384", "#ecdsa-sha256")), ("RIM-02", Code::RimAlgorithm)),
        (broken(driver().replace("0707", "0808")), ("RIM-03", Code::RimDigestMismatch)),
        (broken(stranger.sign()), ("RIM-04", Code::RimCertChain)),
    ] {
        let judged = Device::default().judge(&rims);
        assert_eq!(judged.codes()[0], expected);
        let steps = ["RIM-01", "RIM-02", "RIM-03", "RIM-04"];
        let at = steps.iter().position(|step| *step == expected.0).unwrap();
        assert!(steps[..at].iter().all(|step| judged.verdict(step) == Verdict::Pass), "{expected:?}");
        assert!(steps[at + 1..].iter().all(|step| judged.verdict(step) == Verdict::NotShown), "{expected:?}");
    }
    // Of two failures the earlier rule's.
    let rims =
        [driver().replace("0707", "0808"), "<a>".to_owned(), vbios().replace("more#sha384", "more#sha256")];
    assert_eq!(Device::default().judge(&rims).codes()[0], ("RIM-02", Code::RimAlgorithm));
}

#[test]
fn of_two_manifests_of_one_version_the_fitting_authentic_one_counts() {
    let other_board = Draft::of("GH100", "96.00.9F.00.01", &[(1, 9)]).sign();
    let judged = Device::default().judge(&[other_board.clone(), vbios(), driver()]);
    assert_eq!(judged.codes(), []);
    let forged_fit = other_board.replace("0909", "0101");
    let judged = Device::default().judge(&[forged_fit, other_board, driver()]);
    assert_eq!(judged.codes(), [("GPU-10", Code::MeasurementMismatch)]);
}
