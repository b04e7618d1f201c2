//! The tables themselves: distinct names, every check, codes that the checklist knows.

use std::collections::BTreeSet;

use tiltyard_attestation::checks::CHECKS;
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::{CheckId, Code};
use tiltyard_simulator::hostile::{Set, Variant, snp, tdx};

/// 2026-11-23, within every certificate's life.
pub(crate) const NOW: u64 = 1_795_392_000;
pub(crate) const LEVELS: [Level; 3] = [Level::Lab, Level::Standard, Level::Strict];

/// What refuses the set besides its foreign roots, which only `lab` accepts.
pub(crate) fn findings(set: &Set, level: Level) -> BTreeSet<(CheckId, Code)> {
    let mut found = set.findings(level).expect("policy");
    let anchors = found.remove(&(CheckId::Pol02, Code::AnchorsNotVendor));
    // An appraisal that stopped at a signature has not come to the roots.
    assert!(!anchors || level > Level::Lab);
    assert!(anchors || level == Level::Lab || !found.is_empty(), "foreign roots accepted at {level:?}");
    found
}

/// Tests that THREATS names and that a variant of CPU evidence is.
const NAMED_SNP: &[&str] = &[
    "snp-debug",
    "committed-low",
    "launch-low",
    "milan-default",
    "milan-as-genoa",
    "chip-id-zero",
    "vlek",
    "vmpl-1",
    "tcb-report-higher-than-cert",
    "alias-check-clear",
    "no-ciphertext-hiding",
    "ucode-low",
    "smt-on-under-strict",
    "trailing-1",
    "relay-unlisted-chip",
    "platform-revoked",
    "nonce-prefix",
    "nonce-expired",
    "nonce-envelope-only",
    "other-charter",
    "other-role",
    "extra-field",
    "root-file-changed",
    "clock-minus-1y",
    "clock-plus-1y",
    "air-gap-31-days",
];
const NAMED_TDX: &[&str] = &[
    "tdx-debug",
    "tdx-migratable",
    "servtd-set",
    "sept-ve-off",
    "eval-number-back",
    "sgx-quote",
    "tdx-outdated",
    "qvl-not-uptodate",
    "ccel-flip",
    "ccel-extra-event",
    "acpi-extra-device",
    "cmdline-init-sh",
    "smt-on-under-strict",
    "platform-revoked",
    "other-charter",
    "root-file-changed",
    "air-gap-31-days",
];

/// What a table is asked about, row by row.
struct Row {
    name: &'static str,
    attack: &'static str,
    how: &'static str,
    found: Vec<(CheckId, Code)>,
    first: CheckId,
}

fn row<B, D>(variant: &'static Variant<B, D>) -> Row {
    let also = variant.also.iter().map(|(_, check, code)| (*check, *code));
    Row {
        name: variant.name,
        attack: variant.attack,
        how: variant.how,
        found: also.chain([(variant.check, variant.code)]).collect(),
        first: variant.check,
    }
}

fn tables() -> [(&'static str, &'static [&'static str], Vec<Row>); 2] {
    [
        ("SNP-", NAMED_SNP, snp::variants().map(row).collect()),
        ("TDX-", NAMED_TDX, tdx::variants().map(row).collect()),
    ]
}

#[test]
fn names_are_distinct_and_every_named_attack_is_there() {
    for (family, named, rows) in tables() {
        let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len(), "{family}");
        let missing: Vec<_> = named.iter().filter(|name| !names.contains(*name)).collect();
        assert!(missing.is_empty(), "{family} {missing:?}");
        for row in rows {
            assert!(!row.attack.is_empty() && !row.how.is_empty(), "{}", row.name);
        }
    }
}

#[test]
fn every_check_of_a_cpu_has_an_attack() {
    for (family, _, rows) in tables() {
        let attacked: BTreeSet<CheckId> = rows.iter().map(|row| row.first).collect();
        let open: Vec<_> = CHECKS
            .iter()
            .map(|check| check.id)
            .filter(|id| id.as_str().starts_with(family) && !attacked.contains(id))
            .collect();
        assert!(open.is_empty(), "{open:?}");
    }
}

#[test]
fn every_code_is_one_that_its_check_reports() {
    for (_, _, rows) in tables() {
        for Row { name, found, .. } in rows {
            for (check, code) in found {
                assert!(check.row().error.contains(&code), "{name}: {check} {code}");
            }
        }
    }
}

/// Codes that a family's checks report and that no attack ends in, with the reason.
#[test]
fn every_code_of_a_cpu_has_an_attack() {
    const NOT_ATTACKED: &[(&str, &str, &str)] = &[
        (
            "TDX-02",
            "TrailingBytes",
            "lengths within the quote: truncations and flips of the attestation tests",
        ),
        ("TDX-07", "CertFormat", "garbled certificates are no canonical text: TDX-03"),
        ("TDX-07", "ChainShape", "TDX-03 demands three certificates"),
        ("TDX-07", "UntrustedRoot", "TDX-03 demands the pinned root"),
        ("TDX-08", "CollateralMissing", "withheld collateral stops at TDX-07 above lab"),
        ("TDX-09", "CollateralMissing", "as TDX-08"),
        ("TDX-10", "CollateralMissing", "as TDX-08"),
    ];
    for (family, _, rows) in tables() {
        let shown: BTreeSet<(CheckId, Code)> = rows.into_iter().flat_map(|row| row.found).collect();
        let mut open = Vec::new();
        for check in CHECKS.iter().filter(|check| check.id.as_str().starts_with(family)) {
            for code in check.error {
                let listed = NOT_ATTACKED.iter().any(|(id, name, _)| check.id == *id && *code == *name);
                if shown.contains(&(check.id, *code)) == listed {
                    open.push(format!("{} {code}", check.id));
                }
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}
