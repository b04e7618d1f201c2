//! SEV-SNP reports: under genuine chips, and signed again under roots of our own.

use std::sync::LazyLock;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use tiltyard_attestation::evidence::{CpuEvidence, Evidence};
use tiltyard_attestation::policy::{GpuFloor, Level, Product, SnpFloor, Tcb, TeeFloor};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues};
use tiltyard_attestation::snp::{Demands, REPORT_LEN, Report, authenticate};
use tiltyard_attestation::{
    AppraisalPolicy, Backend, Base64Bytes, Collateral, ForeignAnchors, ForeignArk, Hex, Links, Trace,
    TrustAnchors, measure,
};

use super::Target;
use super::ground::{NOW, pem, put, vector};

pub const TARGET: Target = Target {
    name: "snp",
    run,
    seeds,
    costly: Vec::new,
    limit_bytes: REPORT_LEN,
    mutated_bytes: 1300,
    words: &[],
};

const SIGNED_LEN: usize = 0x2a0;
const CHIP_ID: std::ops::Range<usize> = 0x1a0..0x1e0;
/// Bytes of every version that must be zero, but for those of the TCB versions, which the product decides.
const RESERVED: [std::ops::Range<usize>; 5] =
    [0x04c..0x050, 0x18b..0x1a0, 0x1eb..0x1ec, 0x1ef..0x1f0, 0x208..0x2a0];

fn seeds() -> Vec<Vec<u8>> {
    let genuine = GENUINE.iter().map(|chip| chip.report.clone());
    genuine.chain([vector("snp/trustee_test-vlek-report.bin"), golden_report()]).collect()
}

fn run(data: &[u8]) {
    let mut trace = Trace::new();
    let parsed = Report::parse(data, &mut trace);
    assert_eq!(parsed.is_err(), !trace.findings().is_empty(), "a refusal has a finding, and only a refusal");
    if parsed.is_err() {
        return;
    }
    assert_eq!(data.len(), REPORT_LEN);
    let named = GENUINE.iter().find(|chip| chip.report[CHIP_ID] == data[CHIP_ID]);
    if let Some(chip) = named.or(GENUINE.first()) {
        assert!(!chip.accepts(data) || data == chip.report, "a forged report is accepted");
    }
    judged(&resigned(data));
}

/// A real chip's report, and the certificates of its key.
struct Chip {
    report: Vec<u8>,
    certificates: Vec<Base64Bytes>,
}

static VENDOR: LazyLock<(TrustAnchors, Links)> = LazyLock::new(|| (TrustAnchors::vendor(), Links::new()));
static GENUINE: LazyLock<Vec<Chip>> = LazyLock::new(|| {
    let chips = [
        ("virtee_milan_report.hex", "virtee_milan_vcek.der", "milan"),
        ("gosev_milan_v2_report.bin", "gosev_milan_vcek.der", "milan"),
        ("trustee_test-report.bin", "trustee_test-vcek.der", "milan"),
        ("routex_genoa_v5_report.bin", "routex_genoa_v5_vcek.der", "genoa"),
        ("routex_turin_v5_report.bin", "routex_turin_v5_vcek.der", "turin"),
    ];
    let chip = |(report, vcek, product)| {
        let chain =
            [vec![vector(&format!("snp/{vcek}"))], pem(&format!("snp/ask_ark_{product}.pem"))].concat();
        let report = vector(&format!("snp/{report}"));
        Chip { report, certificates: chain.into_iter().map(Into::into).collect() }
    };
    let chips: Vec<Chip> = chips.map(chip).into();
    assert!(chips.iter().all(|chip| chip.accepts(&chip.report)), "the genuine reports are genuine");
    chips
});

impl Chip {
    fn accepts(&self, report: &[u8]) -> bool {
        let (mut trace, (anchors, links)) = (Trace::new(), &*VENDOR);
        Report::parse(report, &mut trace)
            .and_then(|report| {
                authenticate(report, &self.certificates, anchors, links, NOW, &mut trace).map(|_| ())
            })
            .is_ok()
    }
}

/// A verifier with roots of our own, whose key signs whatever it is given.
pub struct Minted {
    pub foreign: ForeignAnchors,
    pub policy: AppraisalPolicy,
    pub reference: ReferenceValues,
    pub collateral: Collateral,
    anchors: TrustAnchors,
    links: Links,
    milan: Vec<Base64Bytes>,
    turin: Vec<Base64Bytes>,
    key: EcdsaKeyPair,
}

pub static MINTED: LazyLock<Minted> = LazyLock::new(|| {
    let file = |name: &str| Base64Bytes(vector(&format!("minted/{name}")));
    let ark = |product, name| ForeignArk { product, ark_der: file(name) };
    let foreign = ForeignAnchors::of_snp(vec![
        ark(Product::Turin, "ark_turin.der"),
        ark(Product::Milan, "ark_milan.der"),
    ]);
    let key = vector("minted/vcek_key.p8");
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &key, &SystemRandom::new());
    let (policy, reference) = (policy(&GpuFloor::none()), reference(&foreign));
    let minted = Minted {
        anchors: TrustAnchors::foreign(foreign.clone()).unwrap_or_else(|error| panic!("{error}")),
        foreign,
        policy,
        reference,
        collateral: Collateral { snp_crls: vec![file("good.crl")], ..Collateral::none() },
        links: Links::new(),
        milan: vec![file("vcek_milan.der"), file("ask_milan.der")],
        turin: vec![file("vcek_turin.der"), file("ask_turin.der")],
        key: key.unwrap_or_else(|error| panic!("the minted key: {error}")),
    };
    assert!(minted.accepts(&golden_report()), "the golden report is accepted");
    minted
});

/// A `lab` charter that the golden guest meets.
pub fn policy(gpu: &GpuFloor) -> AppraisalPolicy {
    let turin = Tcb { fmc: 2, bootloader: 3, tee: 1, snp: 4, microcode: 75 };
    let milan = Tcb { fmc: 0, bootloader: 4, tee: 0, snp: 24, microcode: 219 };
    let floor = |product, tcb| SnpFloor { product, tcb, guest_svn: 0, vmpl: 0, mitigations: None };
    let tee = TeeFloor { snp: vec![floor(Product::Turin, turin), floor(Product::Milan, milan)], tdx: None };
    AppraisalPolicy::from_floors(Level::Lab, &[Backend::Process, Backend::Snp], &tee, gpu, &[])
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The golden guest's image.
pub fn reference(foreign: &ForeignAnchors) -> ReferenceValues {
    const PROGRAM: &[u8] = b"the guest program";
    let image = |backend| ReferenceImage {
        name: "guest".to_owned(),
        backend,
        image: Hex::sha256(PROGRAM),
        measurement: measure::process_measurement(PROGRAM),
        tdx: None,
    };
    ReferenceValues {
        images: vec![image(Backend::Process), image(Backend::Snp)],
        foreign_anchors: Some(foreign.digest()),
    }
}

/// Evidence that the minted key signed, of known bytes.
pub fn golden() -> Evidence {
    serde_json::from_slice(&vector("token/evidence.json")).unwrap_or_else(|error| panic!("{error}"))
}

fn golden_report() -> Vec<u8> {
    match golden().cpu {
        CpuEvidence::Snp { report, .. } => report.0,
        CpuEvidence::Tdx { .. } => Vec::new(),
    }
}

/// The report with a signature that verifies, of whatever length it is.
pub fn resigned(report: &[u8]) -> Vec<u8> {
    let mut report = report.to_vec();
    let signature = report.get(..SIGNED_LEN).map(|signed| MINTED.key.sign(&SystemRandom::new(), signed));
    if let Some(Ok(signature)) = signature {
        let (r, s) = signature.as_ref().split_at(48);
        let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
        put(&mut report, 0x2a0, &reversed(r));
        put(&mut report, 0x2e8, &reversed(s));
    }
    report
}

/// Past the signature: every check on the chip's facts.
fn judged(report: &[u8]) {
    if !MINTED.accepts(report) {
        return;
    }
    let u64_at = |at: usize| report[at..].first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
    assert!(RESERVED.into_iter().flatten().all(|at| {
        // The last range begins earlier in reports before version 5.
        report[at] == 0
    }));
    assert_eq!(u64_at(0x008) & (1 << 19), 0, "a guest that can be debugged is accepted");
    assert_eq!(u64_at(0x008) >> 26, 0, "a reserved bit of the guest's policy");
    assert_eq!(report[0x030..0x034], [0; 4], "another privilege level than the floor's");
    assert_eq!(report[0x090..0x0c0], *MINTED.reference.images[0].measurement.bytes());
}

impl Minted {
    fn accepts(&self, report: &[u8]) -> bool {
        let mut trace = Trace::new();
        let certificates = if report.get(0x188) == Some(&0x1a) { &self.turin } else { &self.milan };
        let judged = Report::parse(report, &mut trace).and_then(|report| {
            let authentic = authenticate(report, certificates, &self.anchors, &self.links, NOW, &mut trace)?;
            let demands = Demands {
                policy: &self.policy,
                reference: Some(&self.reference),
                config: None,
                links: &self.links,
                collateral: &self.collateral,
                now: NOW,
            };
            Ok(demands.judge(&authentic, &mut trace))
        });
        let facts = judged.map(|facts| serde_json::to_string(&facts).map_err(|error| error.to_string()));
        assert!(facts.is_err() || facts.is_ok_and(|text| text.is_ok()), "facts are written");
        trace.findings().is_empty()
    }
}
