//! NVIDIA GPUs with driver and VBIOS manifest and every OCSP answer, beside NVIDIA's own Python verifier.
//!
//! No public evidence has all of its manifests public too, so both sides get the simulator's sets, under the simulator's
//! roots. Nearly all of a cold appraisal's time is P-384 signatures, 23 of them for one H100: Python's go through
//! OpenSSL, so that no speed of ours around them can come near the target. A kept verifier has one left a device.

use std::cell::RefCell;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use tiltyard_attestation::nvidia::{Certificates, files};
use tiltyard_attestation::policy::{Level, PolicyDocument};
use tiltyard_attestation::{Collateral, DeviceExhibit, Exhibits, Hex, Nonce, TrustAnchors, Verifier};
use tiltyard_simulator::nvidia::firmware::B200_MPT;
use tiltyard_simulator::nvidia::{Draft, EvidenceSet, Lab, formats};

use super::python::Python;
use super::{examine, examiner};
use crate::measure::{Leg, Row, Samples, Unit, interleave, timed};

const SEED: [u8; 32] = [7; 32];
/// Where the Python verifier finds the sets.
const FOLDER: &str = "target/bench/nvidia";
/// Speed promised beside the Python verifier.
const TARGET: f64 = 50.0;

const CHECKS: &str =
    "report, chain, OCSP answers, both manifests, measurements; floors, enrolment, each byte's form";
const REMEMBERED: &str = "the same; signatures but the reports', and the manifests' form, are remembered";
const PEER: &str = "nv-local-gpu-verifier 2.7.3 (Python), process kept, its own time";
const PEER_CHECKS: &str = "report, chain, OCSP answers, both manifests and their schema, measurements";

pub(crate) fn rows() -> Result<Vec<Row>, Box<dyn Error>> {
    let lab = Lab::from_seed(SEED);
    let sets = [
        ("GPU, one H100 (minted)", "one_h100", lab.one_h100(), 60),
        ("GPU, one B200 (minted)", "one_b200", lab.draft(&[(B200_MPT, 1)]), 60),
        ("GPU, eight B200 (minted)", "eight_b200", lab.eight_b200(), 12),
    ];
    let mut python = Python::start();
    let mut rows = Vec::new();
    for (figure, name, draft, rounds) in sets {
        rows.extend(Case::of(name, &draft)?.rows(figure, rounds, python.as_mut())?);
    }
    if let Err(why) = python {
        rows.push(Row::Skipped { figure: format!("GPU beside {PEER}"), why });
    }
    Ok(rows)
}

/// One set, as both sides get it.
struct Case {
    folder: PathBuf,
    /// The collector's JSON.
    evidence: String,
    nonce: Hex<32>,
    collateral: Collateral,
    anchors: TrustAnchors,
    policy: PolicyDocument,
    now: u64,
}

impl Case {
    fn of(name: &str, draft: &Draft) -> Result<Self, Box<dyn Error>> {
        let set: EvidenceSet = draft.issue();
        let folder = Path::new(FOLDER).join(name);
        fs::create_dir_all(&folder)?;
        for (file, bytes) in formats::files(&set) {
            fs::write(folder.join(file), bytes)?;
        }
        Ok(Self {
            folder: folder.canonicalize()?,
            evidence: formats::evidence_json(&set.evidence),
            nonce: Hex(set.expected.nonce),
            collateral: set.collateral(),
            anchors: TrustAnchors::foreign(set.anchors())?,
            policy: PolicyDocument {
                gpu: Some(set.expected.floor.clone()),
                platforms: set.expected.platforms.clone(),
                ..PolicyDocument::preset(Level::Lab)
            },
            now: set.expected.now,
        })
    }

    fn rows(
        &self,
        figure: &str,
        rounds: usize,
        python: Result<&mut Python, &mut String>,
    ) -> Result<Vec<Row>, Box<dyn Error>> {
        let kept = examiner(&self.anchors, &self.policy)?;
        let mut legs: Vec<Leg<'_>> = vec![
            Box::new(|| timed(|| self.look(&examiner(&self.anchors, &self.policy)?))),
            Box::new(|| timed(|| self.look(&kept))),
        ];
        let python = python.ok().map(RefCell::new);
        if let Some(python) = &python {
            legs.push(Box::new(|| python.borrow_mut().appraise(&self.folder)));
        }
        let seconds = interleave(rounds, legs)?;
        let beside = |ours: usize, figure: &str, checks: &str| {
            let seconds = std::iter::once(&seconds[ours]).chain(&seconds[2..]).cloned().collect();
            let samples = Samples::of(figure, Unit::Milliseconds, seconds, &[(PEER, Some(TARGET))]);
            samples.checking(checks, &[PEER_CHECKS]).row()
        };
        Ok(vec![beside(0, figure, CHECKS), beside(1, &format!("{figure}, kept verifier"), REMEMBERED)])
    }

    fn look(&self, verifier: &Verifier) -> Result<(), Box<dyn Error>> {
        let devices = files::evidence(self.evidence.as_bytes())?.into_iter().map(|device| DeviceExhibit {
            nonce: None,
            architecture: None,
            kind: device.kind(),
            report: Some(device.report),
            certificates: Certificates::from_der(device.certificates),
        });
        let (devices, nonce) = (devices.collect(), Some(Nonce::Half(self.nonce)));
        let exhibits = Exhibits { devices, nonce, ..Exhibits::default() };
        examine(verifier, &exhibits, &self.collateral, self.now)
    }
}
