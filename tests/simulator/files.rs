//! Evidence as files in the vendors' own formats, with what `tiltyard-audit appraise` holds it against.

use serde::Serialize;
use tiltyard_attestation::evidence::{CpuEvidence, DeviceKind};
use tiltyard_attestation::policy::{Level, PolicyDocument};

use tiltyard_attestation::Role;

use crate::hostile::{Expected, Set};
use crate::intel::collateral::quote_collateral;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    pub name: String,
    /// How `tiltyard-audit appraise` is told of it; none where it is not.
    pub flag: Option<&'static str>,
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

impl File {
    pub fn new(name: impl Into<String>, flag: Option<&'static str>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), flag, bytes }
    }
}

/// The set's evidence and collateral, a policy document of `level` with every floor and list of the charter, and the
/// roots, which only `lab` accepts.
pub fn of_set(set: &Set, level: Level) -> Vec<File> {
    let Set { evidence, collateral, expected } = set;
    let mut files = match &evidence.cpu {
        CpuEvidence::Snp { report, certificates } => {
            let names = [("vek.der", "--vcek"), ("ask.der", "--cert-chain"), ("ark.der", "--cert-chain")];
            let report = File::new("report.bin", Some("--snp-report"), report.0.clone());
            let chain = names.into_iter().zip(certificates);
            let chain = chain.map(|((name, flag), der)| File::new(name, Some(flag), der.0.clone()));
            [report].into_iter().chain(chain).collect()
        }
        CpuEvidence::Tdx { quote, event_log } => vec![
            File::new("quote.bin", Some("--tdx-quote"), quote.0.clone()),
            File::new("ccel.bin", Some("--ccel"), event_log.0.clone()),
        ],
    };
    let lists = collateral.snp_crls.iter().map(|list| File::new("crl.der", Some("--crl"), list.0.clone()));
    files.extend(lists.take(1));
    let sets = collateral.tdx.iter().map(|set| quote_collateral(set).into_bytes());
    files.extend(sets.take(1).map(|text| File::new("collateral.json", Some("--tdx-collateral"), text)));
    for device in &evidence.devices {
        let kind = match device.kind {
            DeviceKind::Gpu => "gpu",
            DeviceKind::Switch => "nvswitch",
        };
        let name = |what: &str| format!("{kind}{}_{what}", device.index);
        files.push(File::new(name("report.bin"), Some("--gpu-report"), device.report.0.clone()));
        files.push(File::new(name("chain.pem"), Some("--gpu-certs"), device.chain.0.clone()));
    }
    for (at, rim) in collateral.rims.iter().enumerate() {
        files.push(File::new(format!("rim{at}.xml"), Some("--rim"), rim.0.clone()));
    }
    for (at, answer) in collateral.ocsp.iter().enumerate() {
        files.push(File::new(format!("ocsp{at}.der"), Some("--ocsp"), answer.0.clone()));
    }
    files.push(File::new("policy.json", Some("--policy"), policy(expected, level)));
    files.push(File::new("anchors.json", None, expected.anchors.to_bytes()));
    files
}

fn policy(expected: &Expected, level: Level) -> Vec<u8> {
    let Expected { guest, backends, tee, gpu, platforms, mitigations, reference, .. } = expected;
    let document = PolicyDocument {
        backends: backends.clone(),
        // A document can't name a product that its level refuses.
        snp: tee.snp.iter().copied().filter(|row| row.product.satisfies(level)).collect(),
        tdx: tee.tdx.clone(),
        // A referee has no devices, whatever its charter wants of other guests.
        gpu: (gpu.devices.is_some() && guest.config.role != Role::Referee).then(|| gpu.clone()),
        mitigations: Some(*mitigations),
        platforms: platforms.clone(),
        reference: Some(reference.clone()),
        ..PolicyDocument::preset(level)
    };
    // Strings, integers and lists only, which always serialise.
    serde_json::to_vec_pretty(&document).unwrap_or_default()
}
