//! AMD SEV-SNP: a genuine Milan report, and a simulated Turin one with all that an appraisal takes.

use std::error::Error;

use p384::ecdsa;
use rsa::pss::{Signature as PssSignature, VerifyingKey};
use rsa::signature::Verifier as _;
use sev::certs::snp::{Chain, Verifiable as _};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser as _;
use sha2::Sha384;
use tiltyard_attestation::evidence::CpuEvidence;
use tiltyard_attestation::policy::{Level, PolicyDocument, Product};
use tiltyard_attestation::snp::REPORT_LEN;
use tiltyard_attestation::{Base64Bytes, Collateral, CpuExhibit, Exhibits, Hex, TrustAnchors};
use x509_cert::Certificate;
use x509_cert::der::referenced::OwnedToRef as _;
use x509_cert::der::{Decode as _, Encode as _};

use super::{RUST, examine, examiner, vector};
use crate::measure::{Leg, Row, Samples, Unit, interleave, timed};

#[allow(dead_code, reason = "the tests of simulated SNP share it, and edit what this does not")]
#[path = "../../e2e/simulated_snp/bench.rs"]
mod simulated;

const ROUNDS: usize = 300;
/// 2026-11-23, within every certificate's life.
const NOW: u64 = 1_795_392_000;
/// Bytes of a report under its signature.
const SIGNED_BYTES: usize = 0x2a0;

const SEV: &str = "crate sev 8.0.0 (crypto_nossl)";
const SEV_CHECKS: &str = "the four signatures; no date, extension, revocation list, field or policy";
const BARE: &str = "RustCrypto rsa, p384, x509-cert";
const BARE_CHECKS: &str = "the four signatures alone";

pub(crate) fn rows() -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = genuine()?;
    rows.extend(simulated()?);
    Ok(rows)
}

/// Report and certificates of a chip, under AMD's root. No revocation list of that root is public in our vectors.
fn genuine() -> Result<Vec<Row>, Box<dyn Error>> {
    let digits = String::from_utf8(vector("snp/virtee_milan_report.hex")?)?;
    let report = digits.trim().to_ascii_lowercase().parse::<Hex<REPORT_LEN>>()?.0.to_vec();
    let issuers = Certificate::load_pem_chain(&vector("snp/ask_ark_milan.pem")?)?;
    let issuers = issuers.iter().map(|issuer| issuer.to_der()).collect::<Result<Vec<_>, _>>()?;
    let chain = [vec![vector("snp/virtee_milan_vcek.der")?], issuers].concat();
    let certificates: Vec<Base64Bytes> = chain.into_iter().map(Into::into).collect();
    let cpu = CpuExhibit::Snp { report: Some(report.clone()), certificates: certificates.clone() };
    let exhibits = Exhibits { cpu: Some(cpu), ..Exhibits::default() };
    let (anchors, policy) = (TrustAnchors::vendor(), PolicyDocument::preset(Level::Lab));
    let kept = examiner(&anchors, &policy)?;
    let look = |verifier: &_| examine(verifier, &exhibits, &Collateral::none(), NOW);
    let legs: Vec<Leg<'_>> = vec![
        Box::new(|| timed(|| look(&examiner(&anchors, &policy)?))),
        Box::new(|| timed(|| by_sev(&report, &certificates))),
        Box::new(|| timed(|| signatures(&report, &certificates))),
        Box::new(|| timed(|| look(&kept))),
    ];
    let checks =
        "the four signatures, dates, certificate fields, report against certificate, policy document";
    Ok(rows_of("SNP, genuine Milan report, version 2", checks, interleave(ROUNDS, legs)?))
}

/// A version 5 report with its chain, revocation list, binding and charter.
fn simulated() -> Result<Vec<Row>, Box<dyn Error>> {
    let bench = simulated::Bench::lab(Product::Turin, 5);
    let (kept, evidence) = (bench.verifier(), bench.evidence(|_| {}));
    let CpuEvidence::Snp { report, certificates } = &evidence.cpu else {
        return Err("the simulator made other evidence than SNP".into());
    };
    let legs: Vec<Leg<'_>> = vec![
        Box::new(|| {
            let challenge = bench.challenge();
            timed(|| bench.verifier().appraise(challenge, &evidence, &bench.collateral, bench.now))
        }),
        Box::new(|| timed(|| by_sev(&report.0, certificates))),
        Box::new(|| timed(|| signatures(&report.0, certificates))),
        Box::new(|| {
            let challenge = bench.challenge();
            timed(|| kept.appraise(challenge, &evidence, &bench.collateral, bench.now))
        }),
    ];
    let checks = "the same and the signed revocation list, challenge, keys, launch configuration, charter";
    Ok(rows_of("SNP, simulated Turin report, version 5", checks, interleave(ROUNDS, legs)?))
}

/// Of legs in the order cold, two peers, kept.
fn rows_of(figure: &str, checks: &str, mut seconds: Vec<Vec<f64>>) -> Vec<Row> {
    let kept = seconds.pop().unwrap_or_default();
    let peers = [(SEV, RUST), (BARE, RUST)];
    let cold = Samples::of(figure, Unit::Microseconds, seconds, &peers);
    let kept = Samples::of(&format!("{figure}, kept verifier"), Unit::Microseconds, vec![kept], &[]);
    let remembered = "the same; signatures on certificates and lists are remembered, the report's is not";
    vec![cold.checking(checks, &[SEV_CHECKS, BARE_CHECKS]).row(), kept.checking(remembered, &[]).row()]
}

/// What the crate's users call.
fn by_sev(report: &[u8], certificates: &[Base64Bytes]) -> Result<(), Box<dyn Error>> {
    let [vek, ask, ark] = certificates else {
        return Err(format!("expected VEK, ASK and ARK, found {} certificates", certificates.len()).into());
    };
    let chain = Chain::from_der(&ark.0, &ask.0, &vek.0)?;
    Ok((&chain, &AttestationReport::from_bytes(report)?).verify()?)
}

/// What a verifier does at the least: no revocation list, certificate fields, binding or policy.
fn signatures(report: &[u8], certificates: &[Base64Bytes]) -> Result<(), Box<dyn Error>> {
    let chain =
        certificates.iter().map(|der| Certificate::from_der(&der.0)).collect::<Result<Vec<_>, _>>()?;
    let [vcek, ask, ark] = &chain[..] else {
        return Err(format!("expected VCEK, ASK and ARK, found {} certificates", chain.len()).into());
    };
    for (signer, signed) in [(ark, ark), (ark, ask), (ask, vcek)] {
        let key = signer.tbs_certificate().subject_public_key_info().owned_to_ref();
        let signature = PssSignature::try_from(signed.signature().raw_bytes())?;
        VerifyingKey::<Sha384>::new(key.try_into()?)
            .verify(&signed.tbs_certificate().to_der()?, &signature)?;
    }
    let key = vcek.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
    // Firmware ABI, "Signature": R and S in 72 little-endian bytes each, after what is signed.
    let scalar = |at: usize| -> Result<[u8; 48], Box<dyn Error>> {
        let mut bytes: [u8; 48] = report.get(at..at + 48).ok_or("the report is short")?.try_into()?;
        bytes.reverse();
        Ok(bytes)
    };
    let signature = ecdsa::Signature::from_scalars(scalar(SIGNED_BYTES)?, scalar(SIGNED_BYTES + 72)?)?;
    Ok(ecdsa::VerifyingKey::from_sec1_bytes(key)?.verify(&report[..SIGNED_BYTES], &signature)?)
}
