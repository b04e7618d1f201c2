//! Reports of NVIDIA devices: request, response and opaque data; genuine, and signed again by a simulated device.

use std::cell::RefCell;
use std::sync::LazyLock;

use tiltyard_attestation::checks::Part;
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::nvidia::files::{kind_of, report};
use tiltyard_attestation::nvidia::{
    Authority, Certificates, DeviceDemands, Exchange, REPORT_MAX_BYTES, Report, asked_nonce, rim::Library,
};
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::{AppraisalPolicy, Collateral, Links, Submod, Trace, TrustAnchors};
use tiltyard_simulator::nvidia::keys::{KeyName, Keyring, SIGNATURE_BYTES};
use tiltyard_simulator::nvidia::opaque::OpaqueField;
use tiltyard_simulator::nvidia::spdm::{Block, ReportFields};
use tiltyard_simulator::nvidia::{EvidenceSet, Lab};

use super::Target;
use super::ground::{NOW, SEED, SIMULATED_NOW, pem, vector};

pub const TARGET: Target = Target {
    name: "spdm",
    run,
    seeds,
    costly,
    limit_bytes: REPORT_MAX_BYTES,
    mutated_bytes: REPORT_MAX_BYTES + 64,
    words: &[
        "\\x11\\xe0\\x01\\xff",
        "\\x11\\x60\\x00\\x00",
        "550.90.07",
        "\\x01\\x01\\x33\\x00\\x01\\x30\\x00",
    ],
};

fn seeds() -> Vec<Vec<u8>> {
    let simulated =
        DEVICES.sets.iter().flat_map(|set| set.evidence.first().into_iter().chain(set.evidence.last()));
    [GENUINE.report.clone()].into_iter().chain(simulated.map(|one| one.report.clone())).collect()
}

/// As many measurements and opaque fields as a report has room for.
fn costly() -> Vec<Vec<u8>> {
    let blocks = (1..=120).map(|index| Block::genuine(index, [index; 48])).collect();
    let opaque = (0..250).map(|kind| OpaqueField::new(kind, Vec::new())).collect();
    let keys = Keyring::from_seed(SEED);
    vec![ReportFields::genuine([1; 32], blocks, opaque, DEVICES.gpu.clone()).issue(&keys)]
}

fn run(data: &[u8]) {
    if let Ok(bytes) = report(data) {
        assert!(bytes.len() <= data.len());
    }
    if let Ok(exchange) = Exchange::parse(data) {
        assert!(data.len() <= REPORT_MAX_BYTES);
        assert_eq!([exchange.signed(), exchange.signature()].concat(), data, "nothing is left out");
        assert_eq!(exchange.signature().len(), SIGNATURE_BYTES);
        assert_eq!(asked_nonce(data), Some(exchange.nonce()));
        for block in exchange.blocks() {
            assert_eq!(exchange.value(block.index), Some(block.value), "no index stands twice");
        }
    }
    let kind = kind_of(data);
    for kind in [DeviceKind::Gpu, DeviceKind::Switch] {
        if let Ok(report) = Report::parse(data, kind) {
            let _ = (report.facts().fwid(), report.facts().vbios().to_string());
        }
    }
    if Report::parse(data, kind).is_ok() {
        assert!(!GENUINE.accepts(data) || data == GENUINE.report, "a forged report is accepted");
        DEVICES.judge(kind, data);
    }
}

struct Genuine {
    report: Vec<u8>,
    certificates: Certificates,
    anchors: TrustAnchors,
    policy: AppraisalPolicy,
    links: Links,
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let hex = vector("nvidia/device/hopperAttestationReport.txt");
    let genuine = Genuine {
        report: report(&hex).unwrap_or_else(|error| panic!("{error}")),
        certificates: Certificates::from_der(pem("nvidia/device/hopperCertChain.txt")),
        anchors: TrustAnchors::vendor(),
        policy: AppraisalPolicy::preset(Level::Lab),
        links: Links::new(),
    };
    assert!(genuine.accepts(&genuine.report), "the genuine report is genuine");
    genuine
});

impl Genuine {
    fn accepts(&self, report: &[u8]) -> bool {
        let Self { certificates, anchors, policy, links, .. } = self;
        let authority = Authority { anchors, policy, links, nonce: None, now: NOW };
        authority.authenticate(DeviceKind::Gpu, report, certificates, &mut Trace::new()).is_ok()
    }
}

/// Devices whose keys sign whatever they are given.
pub struct Devices {
    /// One H100; eight H100 and four switches; eight B200.
    pub sets: [EvidenceSet; 3],
    gpu: KeyName,
    switch: KeyName,
    gpu_chain: Certificates,
    switch_chain: Certificates,
    anchors: TrustAnchors,
    policy: AppraisalPolicy,
    links: Links,
    library: Library,
    collateral: Collateral,
}

pub static DEVICES: LazyLock<Devices> = LazyLock::new(|| {
    let lab = Lab::from_seed(SEED);
    let drafts = [lab.one_h100(), lab.protected_pcie(), lab.eight_b200()];
    let key = |draft: usize, device: usize| drafts[draft].devices[device].report.signer.clone();
    let (gpu, switch) = (key(0, 0), key(1, 8));
    let sets = [drafts[0].issue(), drafts[1].issue(), drafts[2].issue()];
    let chain = |set: usize, device: usize| Certificates::from_der(sets[set].evidence[device].chain.clone());
    let (gpu_chain, switch_chain) = (chain(0, 0), chain(1, 8));
    let anchors = TrustAnchors::foreign(sets[0].anchors()).unwrap_or_else(|error| panic!("{error}"));
    let (links, collateral) = (Links::new(), sets[1].collateral());
    let library = Library::open(&collateral, &anchors, &links, SIMULATED_NOW);
    let policy = AppraisalPolicy::preset(Level::Lab);
    let devices =
        Devices { gpu, switch, gpu_chain, switch_chain, anchors, policy, links, library, collateral, sets };
    assert!(
        devices.judge(DeviceKind::Gpu, &devices.sets[0].evidence[0].report),
        "an honest GPU is authentic"
    );
    assert!(devices.judge(DeviceKind::Switch, &devices.sets[1].evidence[8].report), "an honest switch too");
    devices
});

thread_local! {
    static KEYS: RefCell<(Keyring, usize)> = RefCell::new((Keyring::from_seed(SEED), 0));
}

impl Devices {
    /// The report with a signature that verifies.
    pub fn resigned(&self, kind: DeviceKind, report: &[u8]) -> Vec<u8> {
        /// A ring remembers everything that it signed.
        const SIGNATURES_MAX: usize = 1000;
        let name = match kind {
            DeviceKind::Gpu => &self.gpu,
            DeviceKind::Switch => &self.switch,
        };
        let (signed, _) = report.split_at(report.len().saturating_sub(SIGNATURE_BYTES));
        let signature = KEYS.with_borrow_mut(|(keys, made)| {
            *made += 1;
            if *made > SIGNATURES_MAX {
                (*keys, *made) = (Keyring::from_seed(SEED), 0);
            }
            keys.sign_raw(name, signed)
        });
        [signed, &signature].concat()
    }

    /// Every check on one device's facts, with a signature that verifies; whether the device is authentic.
    fn judge(&self, kind: DeviceKind, report: &[u8]) -> bool {
        let report = self.resigned(kind, report);
        let Self { anchors, policy, links, library, collateral, .. } = self;
        let mut trace = Trace::new();
        let certificates = match kind {
            DeviceKind::Gpu => {
                trace.begin(Submod::Gpu(0), Part::Gpu);
                &self.gpu_chain
            }
            DeviceKind::Switch => {
                trace.begin(Submod::Switch(0), Part::Switch);
                &self.switch_chain
            }
        };
        let now = SIMULATED_NOW;
        let authority = Authority { anchors, policy, links, nonce: None, now };
        let Ok(device) = authority.authenticate(kind, &report, certificates, &mut trace) else {
            return false;
        };
        let demands =
            DeviceDemands { named: None, policy, index: 0, state: None, library, collateral, links, now };
        let facts = demands.judge(&device, &mut trace);
        assert!(serde_json::to_string(&facts).is_ok(), "facts are written");
        true
    }
}
