//! What a verifier does: appraise one report, audit one bundle.

use std::error::Error;
use std::io;
use std::path::Path;

use p384::ecdsa;
use rsa::pss::{Signature as PssSignature, VerifyingKey};
use rsa::signature::Verifier as _;
use sha2::Sha384;
use tiltyard_attestation::Base64Bytes;
use tiltyard_attestation::evidence::CpuEvidence;
use tiltyard_attestation::policy::Product;
use tiltyard_audit::{Overall, Pins, verify};
use x509_cert::Certificate;
use x509_cert::der::referenced::OwnedToRef as _;
use x509_cert::der::{Decode as _, Encode as _};

use crate::measure::{Leg, Row, Samples, Unit, interleave, timed};
use crate::play::{Script, play};

#[allow(dead_code, reason = "the tests of simulated SNP share it, and edit what this does not")]
#[path = "../e2e/simulated_snp/bench.rs"]
mod simulated;

/// Bytes of a report under its signature.
const SIGNED_BYTES: usize = 0x2a0;
/// An audit of the demo's bundle, in seconds.
const AUDIT_LIMIT_S: f64 = 2.0;

/// A version 5 report with its chain, revocation list, binding and charter, from bytes to a verdict.
pub(crate) fn report() -> Result<Vec<Row>, Box<dyn Error>> {
    let bench = simulated::Bench::lab(Product::Turin, 5);
    let (verifier, evidence) = (bench.verifier(), bench.evidence(|_| {}));
    let CpuEvidence::Snp { report, certificates } = &evidence.cpu else {
        return Err("the simulator made other evidence than SNP".into());
    };
    let legs: Vec<Leg<'_>> = vec![
        Box::new(|| {
            let challenge = bench.challenge();
            timed(|| verifier.appraise(challenge, &evidence, &bench.collateral, bench.now))
        }),
        Box::new(|| timed(|| signatures(&report.0, certificates))),
    ];
    let seconds = interleave(200, legs)?;
    let peers = [("RustCrypto rsa, p384, x509-cert: signatures of chain and report alone", None)];
    let ours = Samples::of("SNP appraisal, report version 5", Unit::Microseconds, seconds, &peers).row();
    // The crate that others use does what `signatures` does, with older versions of the same libraries.
    let why = "peer not built: it depends on option-ext, whose licence (MPL-2.0) deny.toml does not allow";
    Ok(vec![
        ours,
        Row::Skipped { figure: "SNP appraisal beside the crate sev 8.0.0".into(), why: why.into() },
    ])
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

/// A bundle of the demo's size, and the demo's own where it lies.
pub(crate) fn audit() -> Result<Vec<Row>, Box<dyn Error>> {
    let built = play(Script { challengers: 6, boss_tasks: 6, ..Script::default() }).tar();
    let mut rows = vec![one_audit("audit of a bundle of the demo's size", &built)?];
    let demo = Path::new("target/demo/bundle.tar");
    rows.push(match std::fs::read(demo) {
        Ok(bundle) => one_audit("audit of the demo's bundle", &bundle)?,
        Err(error) => Row::Skipped {
            figure: "audit of the demo's bundle".into(),
            why: format!("{}: {error}; `make demo` leaves it there", demo.display()),
        },
    });
    Ok(rows)
}

fn one_audit(figure: &str, bundle: &[u8]) -> Result<Row, Box<dyn Error>> {
    let audit = verify(bundle, &Pins::default());
    if audit.verdict != Overall::Pass {
        let why = "it does not pass, so its time says nothing; `tiltyard-audit verify` says why".into();
        return Ok(Row::Skipped { figure: figure.into(), why });
    }
    let figure = format!("{figure}: {} guests, {} claims", audit.guests.len(), audit.claims.len());
    let leg: Leg<'_> = Box::new(|| timed(|| Ok::<_, io::Error>(verify(bundle, &Pins::default()))));
    let seconds = interleave(15, vec![leg])?;
    Ok(Samples::of(&figure, Unit::Milliseconds, seconds, &[]).below(AUDIT_LIMIT_S).row())
}
