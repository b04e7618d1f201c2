//! The signed facts of the chip and its firmware, held against policy (SNP-05, SNP-08..SNP-17, SNP-20).

use super::authentic::AuthenticReport;
use crate::Hex;
use crate::chain::Links;
use crate::checks::{CheckId, Code};
use crate::collateral::Collateral;
use crate::config::LaunchConfig;
use crate::policy::{AppraisalPolicy, Level, PlatformKind, Product, Tcb};
use crate::reference::ReferenceValues;
use crate::result::{SigningKey, SnpFacts};
use crate::trace::{Judged, Trace, Vendor};

const MASKED: Hex<64> = Hex([0; 64]);
/// Bytes of CHIP_ID that a Turin chip fills.
const TURIN_HWID_LEN: usize = 8;

/// Everything that a report is held against, but its envelope.
pub struct Demands<'a> {
    pub policy: &'a AppraisalPolicy,
    /// None only when evidence is examined without reference values.
    pub reference: Option<&'a ReferenceValues>,
    /// Launch configuration whose image and backend choose the reference values; none in an examination.
    pub config: Option<&'a LaunchConfig>,
    pub links: &'a Links,
    pub collateral: &'a Collateral,
    /// Unix seconds.
    pub now: u64,
}

impl Demands<'_> {
    /// Runs every check on an authentic report; `trace` holds each verdict.
    pub fn judge(&self, authentic: &AuthenticReport<'_>, trace: &mut Trace) -> SnpFacts {
        let report = authentic.report();
        let product = authentic.product();
        let revocation = authentic.revocation(&self.collateral.snp_crls, self.now, self.links);
        trace.note(
            CheckId::Snp05,
            match report.first_reserved(product) {
                None => Judged::pass("all reserved zero", "all zero"),
                Some(what) => Judged::fail(Code::ReservedNonZero, "all reserved zero", what),
            },
        );
        trace.revocation(Vendor::Amd, revocation, self.policy, self.now);
        trace.note(CheckId::Snp09, self.signing_key(authentic));
        trace.note(CheckId::Snp10, products_agree(authentic));
        trace.note(CheckId::Snp11, self.product_allowed(authentic));
        trace.note(
            CheckId::Snp12,
            Judged::equal(Code::TcbMismatch, authentic.endorsement.tcb, authentic.tcb(report.reported_tcb())),
        );
        trace.note(CheckId::Snp13, self.tcb_floor(authentic));
        trace.note(CheckId::Snp14, self.committed(authentic));
        trace.note(CheckId::Snp15, chip_is_certified(authentic));
        trace.note(CheckId::Snp16, self.chip_named(authentic));
        trace.note(
            CheckId::Snp17,
            self.policy.enrolled(
                PlatformKind::ChipId,
                Some(&report.chip_id().into()),
                Code::UnknownChip,
                self.now,
            ),
        );
        trace.note(CheckId::Snp20, self.platform_bits(report.platform_info()));
        let image_name = self.judge_guest(authentic, trace);
        SnpFacts {
            product,
            report_version: report.version(),
            reported_tcb: authentic.tcb(report.reported_tcb()),
            committed_tcb: authentic.tcb(report.committed_tcb()),
            current_tcb: authentic.tcb(report.current_tcb()),
            launch_tcb: authentic.tcb(report.launch_tcb()),
            chip_id: report.chip_id(),
            measurement: report.measurement(),
            vmpl: report.vmpl(),
            guest_svn: report.guest_svn(),
            guest_policy: report.policy(),
            platform_info: report.platform_info(),
            signing_key: authentic.signing_key(),
            revocation,
            image_name,
        }
    }

    fn signing_key(&self, authentic: &AuthenticReport<'_>) -> Judged {
        let named = match authentic.report().key_info() >> 2 & 0b111 {
            0 => Some(SigningKey::Vcek),
            1 => Some(SigningKey::Vlek),
            _ => None,
        };
        let certified = authentic.signing_key();
        let vlek_allowed = self.policy.level() == Level::Lab;
        let holds = named == Some(certified) && (certified == SigningKey::Vcek || vlek_allowed);
        Judged::require(
            holds,
            Code::SigningKey,
            if vlek_allowed { "VCEK or VLEK, as certified" } else { "VCEK" },
            format_args!(
                "report signed by {}, certificate of a {}",
                named.map_or("a key of no known kind", key_name),
                key_name(certified)
            ),
        )
    }

    fn product_allowed(&self, authentic: &AuthenticReport<'_>) -> Judged {
        let product = authentic.product();
        let level = self.policy.level();
        let expected = "a product with a floor in the charter";
        // A version 2 report has no CPUID: only the certificate names its product.
        let shown = authentic.report().version() >= 3 || level == Level::Lab;
        Judged::require(
            shown && self.policy.allows(product),
            Code::ProductRefused,
            expected,
            format_args!(
                "{product:?}, report version {}, level {}",
                authentic.report().version(),
                format!("{level:?}").to_lowercase()
            ),
        )
    }

    fn tcb_floor(&self, authentic: &AuthenticReport<'_>) -> Judged {
        let Some(floor) = self.policy.floor(authentic.product()) else {
            return self.no_floor(authentic.product(), Code::TcbTooOld);
        };
        let report = authentic.report();
        let shown = [
            ("committed", report.committed_tcb()),
            ("reported", report.reported_tcb()),
            ("launch", report.launch_tcb()),
        ];
        let below: Vec<String> = shown
            .into_iter()
            .flat_map(|(which, bytes)| {
                authentic
                    .tcb(bytes)
                    .components()
                    .into_iter()
                    .zip(floor.tcb.components())
                    .filter(|((_, got), (_, least))| got < least)
                    .map(move |((component, got), _)| format!("{which} {component} {got}"))
            })
            .collect();
        if below.is_empty() {
            return Judged::pass(
                format_args!("at least {}", floor.tcb),
                authentic.tcb(report.committed_tcb()),
            );
        }
        Judged::fail(Code::TcbTooOld, format_args!("at least {}", floor.tcb), below.join(", "))
    }

    /// A product that is refused needs no floor (SNP-11 says so); an allowed one without a floor shows nothing.
    pub(super) fn no_floor(&self, product: Product, code: Code) -> Judged {
        const EXPECTED: &str = "a floor for this product";
        if self.policy.allows(product) {
            self.policy.absent(code, EXPECTED, "no floor was given")
        } else {
            Judged::not_shown("the product is refused")
        }
    }

    fn committed(&self, authentic: &AuthenticReport<'_>) -> Judged {
        let report = authentic.report();
        let same = report.current_tcb() == report.committed_tcb()
            && report.current_version() == report.committed_version();
        let expected = "current firmware equal to committed";
        match (same, self.policy.level()) {
            (true, _) => Judged::pass(expected, "equal"),
            (false, Level::Strict) => Judged::fail(Code::TcbProvisional, expected, "provisional firmware"),
            (false, Level::Standard | Level::Lab) => Judged::warning(expected, "provisional firmware"),
        }
    }

    fn chip_named(&self, authentic: &AuthenticReport<'_>) -> Judged {
        let report = authentic.report();
        let masked = report.chip_id() == MASKED || report.key_info() >> 1 & 1 == 1;
        match (masked, self.policy.list_required(PlatformKind::ChipId)) {
            (false, _) => Judged::pass("a chip id", "a chip id"),
            (true, true) => Judged::fail(Code::ChipIdMasked, "a chip id", "masked"),
            (true, false) => Judged::warning("a chip id", "masked"),
        }
    }

    /// Bit 5, ALIAS_CHECK_COMPLETE: memory aliasing was looked for at boot (BadRAM, CVE-2024-21944).
    fn platform_bits(&self, platform_info: u64) -> Judged {
        let checked = platform_info >> 5 & 1 == 1;
        let got = format!("{platform_info:#x}");
        match (checked, self.policy.level()) {
            (true, _) => Judged::pass("bit 5 (alias check) 1", got),
            (false, Level::Lab) => Judged::warning("bit 5 (alias check) 1", got),
            (false, Level::Standard | Level::Strict) => {
                Judged::fail(Code::PlatformInfo, "bit 5 (alias check) 1", got)
            }
        }
    }
}

fn key_name(key: SigningKey) -> &'static str {
    match key {
        SigningKey::Vcek => "VCEK",
        SigningKey::Vlek => "VLEK",
    }
}

/// Certificate, root and, from version 3, CPUID (family, model) name one product.
fn products_agree(authentic: &AuthenticReport<'_>) -> Judged {
    let certified = authentic.product();
    let root = authentic.chain.product;
    let cpuid = authentic.report().cpuid();
    let by_cpuid = cpuid.map(|[family, model, _]| match (family, model) {
        (0x19, 0x00..=0x0F) => Some(Product::Milan),
        (0x19, 0x10..=0x1F | 0xA0..=0xAF) => Some(Product::Genoa),
        (0x1A, 0x00..=0x11) => Some(Product::Turin),
        _ => None,
    });
    let agree = root == certified && by_cpuid.is_none_or(|product| product == Some(certified));
    let cpuid = match cpuid {
        Some([family, model, stepping]) => {
            format!("CPUID family {family:#04x}, model {model:#04x}, stepping {stepping:#04x}")
        }
        None => "no CPUID in a report of version 2".to_owned(),
    };
    let got = format!("certificate {certified:?}, root {root:?}, {cpuid}");
    Judged::require(agree, Code::ProductMismatch, "one product", got)
}

/// CHIP_ID equals the certificate's: 64 bytes, or on Turin 8 and the rest zero.
fn chip_is_certified(authentic: &AuthenticReport<'_>) -> Judged {
    let chip_id = authentic.report().chip_id();
    let Some(hwid) = &authentic.endorsement.hwid else {
        return Judged::not_applicable("a VLEK certificate names no chip");
    };
    if chip_id == MASKED {
        return Judged::not_applicable("the chip id is masked");
    }
    let expected_len = match authentic.product() {
        Product::Milan | Product::Genoa => chip_id.bytes().len(),
        Product::Turin => TURIN_HWID_LEN,
    };
    let mut expected = [0; 64];
    if hwid.len() != expected_len {
        let got = format!("{} bytes", hwid.len());
        return Judged::fail(
            Code::ChipIdMismatch,
            format_args!("a certified id of {expected_len} bytes"),
            got,
        );
    }
    expected[..expected_len].copy_from_slice(hwid);
    Judged::equal(Code::ChipIdMismatch, Hex(expected), chip_id)
}

impl Tcb {
    fn components(&self) -> [(&'static str, u8); 5] {
        let Self { fmc, bootloader, tee, snp, microcode } = *self;
        [("fmc", fmc), ("bootloader", bootloader), ("tee", tee), ("snp", snp), ("microcode", microcode)]
    }
}

impl std::fmt::Display for Tcb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { fmc, bootloader, tee, snp, microcode } = self;
        write!(f, "fmc {fmc} bootloader {bootloader} tee {tee} snp {snp} microcode {microcode}")
    }
}
