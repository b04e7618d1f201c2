//! Vectors, and one appraisal of one device below the envelope.

use tiltyard_attestation::checks::Part;
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::nvidia::{AuthenticDevice, Authority, Certificates};
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::{
    AppraisalPolicy, CheckId, Code, Hex, Links, Stopped, Submod, Trace, TrustAnchors, Verdict,
};

/// 2026-11-22.
pub const NOW: u64 = 1_795_371_000;
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/nvidia/device/");
const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/nvidia/");

/// A file of this repository.
pub fn own(name: &str) -> Vec<u8> {
    std::fs::read(format!("{OWN}{name}")).unwrap()
}

/// A file of the shared collection; none, loudly, where the collection is absent.
pub fn shared(name: &str) -> Option<Vec<u8>> {
    if !std::path::Path::new(SHARED).is_dir() {
        println!("SKIPPED: the shared vector collection is absent ({name})");
        return None;
    }
    Some(std::fs::read(format!("{SHARED}{name}")).unwrap())
}

/// What one device is verified against; vendor roots, `lab`, unless a test says otherwise.
pub struct Bench {
    pub anchors: TrustAnchors,
    pub policy: AppraisalPolicy,
    pub links: Links,
    pub nonce: Option<Hex<32>>,
    pub now: u64,
}

impl Bench {
    pub fn vendor() -> Self {
        Self {
            anchors: TrustAnchors::vendor(),
            policy: AppraisalPolicy::preset(Level::Lab),
            links: Links::new(),
            nonce: None,
            now: NOW,
        }
    }

    /// Authenticates one device and shows it to `with`; the findings, and the trace.
    pub fn run<T>(
        &self,
        kind: DeviceKind,
        report: &[u8],
        certificates: &Certificates,
        with: impl FnOnce(&AuthenticDevice<'_>, &mut Trace) -> T,
    ) -> (Result<T, Stopped>, Trace) {
        let mut trace = Trace::new();
        match kind {
            DeviceKind::Gpu => trace.begin(Submod::Gpu(0), Part::Gpu),
            DeviceKind::Switch => trace.begin(Submod::Switch(0), Part::Switch),
        }
        let Self { anchors, policy, links, nonce, now } = self;
        let authority = Authority { anchors, policy, links, nonce: *nonce, now: *now };
        let result = authority
            .authenticate(kind, report, certificates, &mut trace)
            .map(|device| with(&device, &mut trace));
        (result, trace)
    }

    /// The only finding of a device that must be refused before its facts are judged; none when it is authentic.
    pub fn refusal(
        &self,
        kind: DeviceKind,
        report: &[u8],
        certificates: &Certificates,
    ) -> Option<(CheckId, Code)> {
        let (result, trace) = self.run(kind, report, certificates, |_, _| ());
        let found = findings(&trace);
        assert_eq!(result.is_err(), !found.is_empty(), "a refusal has a finding, and only a refusal");
        assert!(found.len() <= 1, "{found:?}");
        found.first().copied()
    }
}

pub fn findings(trace: &Trace) -> Vec<(CheckId, Code)> {
    let found = trace.findings().iter().map(|finding| (finding.check, finding.code));
    let found: Vec<_> = found.collect();
    for (check, code) in &found {
        assert!(check.row().error.contains(code), "{check} is not listed with {code}");
    }
    found
}

/// The verdict of a check that ran once.
pub fn verdict(trace: &Trace, check: CheckId) -> Verdict {
    let mut all = trace.outcomes().iter().filter(|outcome| outcome.check == check);
    let only = all.next().unwrap();
    assert!(all.next().is_none(), "{check} ran twice");
    only.verdict
}
