//! What a verifier does, each vendor's evidence beside a verifier that others use.
//!
//! Peers are met cold: a verifier made anew for each round, which remembers no signature. A broker keeps its verifier,
//! so that a second guest's certificates cost it no signature any more; those rows say `kept verifier`.

pub(crate) mod composite;
pub(crate) mod gpu;
pub(crate) mod python;
pub(crate) mod snp;
pub(crate) mod tdx;

use std::error::Error;
use std::path::Path;

use tiltyard_attestation::policy::PolicyDocument;
use tiltyard_attestation::{Collateral, Conclusion, Exhibits, TrustAnchors, Verifier};

/// A Rust peer is never faster.
const RUST: Option<f64> = Some(1.0);

/// A verifier for evidence that answers no challenge of ours.
fn examiner(anchors: &TrustAnchors, policy: &PolicyDocument) -> Result<Verifier, Box<dyn Error>> {
    Ok(Verifier::for_examination(anchors.clone(), policy)?)
}

/// Looks at genuine evidence; a refusal is an error, since its time says nothing.
fn examine(
    verifier: &Verifier,
    exhibits: &Exhibits,
    collateral: &Collateral,
    now: u64,
) -> Result<(), Box<dyn Error>> {
    let examination = verifier.examine(exhibits, collateral, now);
    match examination.conclusion {
        Conclusion::NothingContradicted => Ok(()),
        Conclusion::Refused => Err(format!("refused: {:?}", examination.findings).into()),
    }
}

/// A file of the attestation package's vectors.
fn vector(name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let path = Path::new("attestation/tests/vectors").join(name);
    Ok(std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?)
}
