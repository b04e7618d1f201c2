//! The signed facts of the guest itself, held against policy and reference values (SNP-18, SNP-19,
//! SNP-21..SNP-24).

use super::authentic::AuthenticReport;
use super::platform::Demands;
use super::report::Report;
use crate::Hex;
use crate::checks::{CheckId, Code};
use crate::policy::Level;
use crate::reference::ReferenceImage;
use crate::trace::{Judged, Trace};

const POLICY_SMT: u32 = 16;
const POLICY_ALWAYS_ONE: u32 = 17;
const POLICY_MIGRATE_MA: u32 = 18;
const POLICY_DEBUG: u32 = 19;
const POLICY_CIPHERTEXT_HIDING: u32 = 24;
const POLICY_PAGE_SWAP_DISABLE: u32 = 25;
/// REPORT_ID_MA of a guest without a migration agent.
const NO_MIGRATION_AGENT: Hex<32> = Hex([0xFF; 32]);

impl Demands<'_> {
    /// Runs the guest's checks; returns the name of the reference image that it measures to.
    pub(super) fn judge_guest(&self, authentic: &AuthenticReport<'_>, trace: &mut Trace) -> String {
        let report = authentic.report();
        trace.note(CheckId::Snp18, neither_debug_nor_migration(&report));
        trace.note(CheckId::Snp19, self.policy_bits(report.policy()));
        trace.note(CheckId::Snp21, self.privilege_level(authentic));
        let image = self.image(report.measurement());
        trace.note(CheckId::Snp22, self.measurement(image, report.measurement()));
        trace.note(CheckId::Snp23, self.identity_block(authentic));
        trace.note(CheckId::Snp24, self.mitigations(authentic));
        image.map(|image| image.name.clone()).unwrap_or_default()
    }

    fn policy_bits(&self, policy: u64) -> Judged {
        let demands: &[(u32, u64)] = match self.policy.level() {
            Level::Strict => &[(POLICY_SMT, 0), (POLICY_CIPHERTEXT_HIDING, 1), (POLICY_PAGE_SWAP_DISABLE, 1)],
            Level::Standard | Level::Lab => &[],
        };
        let unmet: Vec<String> = demands
            .iter()
            .filter(|&&(bit, value)| policy >> bit & 1 != value)
            .map(|(bit, value)| format!("bit {bit} {value}"))
            .collect();
        let expected = if unmet.is_empty() { "the level's bits".to_owned() } else { unmet.join(", ") };
        Judged::require(unmet.is_empty(), Code::PolicyMismatch, expected, format_args!("{policy:#x}"))
    }

    /// The charter's level, or 0 where no row names another.
    fn privilege_level(&self, authentic: &AuthenticReport<'_>) -> Judged {
        let vmpl = self.policy.floor(authentic.product()).map_or(0, |floor| floor.vmpl);
        Judged::equal(Code::VmplMismatch, vmpl.into(), authentic.report().vmpl())
    }

    /// The reference image that this measurement belongs to: same backend and image file, where a launch
    /// configuration says which.
    fn image(&self, measurement: Hex<48>) -> Option<&ReferenceImage> {
        self.reference?.images.iter().find(|row| {
            let launched =
                self.config.is_none_or(|config| row.backend == config.backend && row.image == config.image);
            launched && row.measurement == measurement
        })
    }

    fn measurement(&self, image: Option<&ReferenceImage>, measurement: Hex<48>) -> Judged {
        let expected = match self.config {
            Some(config) => format!("a reference value of image {}", config.image),
            None => "a reference value".to_owned(),
        };
        match self.reference {
            Some(_) => Judged::require(image.is_some(), Code::MeasurementMismatch, expected, measurement),
            None => self.policy.absent(Code::MeasurementMismatch, expected, "no reference values were given"),
        }
    }

    /// The reference values name no identity block, so none may be there.
    fn identity_block(&self, authentic: &AuthenticReport<'_>) -> Judged {
        let report = authentic.report();
        if self.reference.is_none() {
            let expected = "reference values for the identity block";
            return self.policy.absent(Code::IdKeyMismatch, expected, "no reference values were given");
        }
        let zero = Hex([0; 48]);
        Judged::equal(Code::IdKeyMismatch, zero, report.id_key_digest())
            .and_then(|| Judged::equal(Code::IdKeyMismatch, zero, report.author_key_digest()))
            .and_then(|| Judged::equal(Code::ImageIdMismatch, Hex([0; 32]), report.family_and_image_id()))
            .and_then(|| match self.policy.floor(authentic.product()) {
                None => self.no_floor(authentic.product(), Code::SvnTooLow),
                Some(floor) => Judged::require(
                    report.guest_svn() >= floor.guest_svn,
                    Code::SvnTooLow,
                    format_args!("guest svn at least {}", floor.guest_svn),
                    report.guest_svn(),
                ),
            })
    }

    fn mitigations(&self, authentic: &AuthenticReport<'_>) -> Judged {
        let required = self.policy.mitigations(authentic.product());
        let expected = format!("at least {required:#x} at launch and now");
        match authentic.report().mitigations() {
            Some((launch, current)) => Judged::require(
                launch & current & required == required,
                Code::MitigationMissing,
                expected,
                format_args!("{launch:#x} at launch, {current:#x} now"),
            ),
            None if required == 0 => Judged::not_applicable("before version 5"),
            None => Judged::fail(Code::MitigationMissing, expected, "a report before version 5"),
        }
    }
}

fn neither_debug_nor_migration(report: &Report<'_>) -> Judged {
    let policy = report.policy();
    let bit = |bit: u32| policy >> bit & 1;
    let got = format!("{policy:#x}");
    Judged::require(bit(POLICY_DEBUG) == 0, Code::PolicyDebug, "bit 19 (DEBUG) 0", &got)
        .and_then(|| {
            Judged::require(bit(POLICY_MIGRATE_MA) == 0, Code::PolicyMigration, "bit 18 (MIGRATE_MA) 0", &got)
        })
        .and_then(|| {
            Judged::require(bit(POLICY_ALWAYS_ONE) == 1, Code::PolicyMismatch, "bit 17 (reserved) 1", &got)
        })
        .and_then(|| {
            const EXPECTED: &str = "no migration agent (REPORT_ID_MA all ones)";
            match report.report_id_ma() {
                NO_MIGRATION_AGENT => {
                    Judged::pass(EXPECTED, format_args!("guest policy {policy:#x}, no migration agent"))
                }
                agent => Judged::fail(Code::PolicyMigration, EXPECTED, agent),
            }
        })
}
