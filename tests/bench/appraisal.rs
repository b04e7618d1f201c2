//! What a verifier does: appraise one report, audit one bundle.

use std::error::Error;
use std::io;
use std::path::Path;

use sev::certs::snp::{Certificate, Chain, Verifiable as _, ca};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser as _;
use tiltyard_attestation::evidence::CpuEvidence;
use tiltyard_attestation::policy::Product;
use tiltyard_audit::{Overall, Pins, verify};

use crate::measure::{Leg, Row, Samples, Unit, interleave, timed};
use crate::play::{Script, play};

#[allow(dead_code, reason = "the tests of simulated SNP share it, and edit what this does not")]
#[path = "../e2e/simulated_snp/bench.rs"]
mod simulated;

/// An audit of the demo's bundle, in seconds.
const AUDIT_LIMIT_S: f64 = 2.0;

/// A version 5 report with its chain, revocation list, binding and charter, from bytes to a verdict.
pub(crate) fn report() -> Result<Vec<Row>, Box<dyn Error>> {
    let bench = simulated::Bench::lab(Product::Turin, 5);
    let (verifier, evidence) = (bench.verifier(), bench.evidence(|_| {}));
    let CpuEvidence::Snp { report, certificates } = &evidence.cpu else {
        return Err("the simulator made other evidence than SNP".into());
    };
    let [vcek, ask, ark] = &certificates[..] else {
        return Err("expected three certificates of the simulator".into());
    };
    let peer = || -> io::Result<()> {
        let certificate = |der: &[u8]| Certificate::from_der(der);
        let ca = ca::Chain { ark: certificate(&ark.0)?, ask: certificate(&ask.0)? };
        let chain = Chain { ca, vek: certificate(&vcek.0)? };
        let report = <&[u8; 1184]>::try_from(&report.0[..]).map_err(io::Error::other)?;
        (&chain, &AttestationReport::from_bytes(report)?).verify()
    };
    let legs: Vec<Leg<'_>> = vec![
        Box::new(|| {
            let challenge = bench.challenge();
            timed(|| verifier.appraise(challenge, &evidence, &bench.collateral, bench.now))
        }),
        Box::new(|| timed(peer)),
    ];
    let seconds = interleave(200, legs)?;
    // The peer checks signatures of chain and report alone: no revocation list, binding, policy or certificate fields.
    let peers = [("sev 8.0.0 (crypto_nossl), chain and report signature alone", None)];
    Ok(vec![Samples::of("SNP appraisal, report version 5", Unit::Microseconds, seconds, &peers).row()])
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
        let why = "the bundle does not pass; its time says nothing".into();
        return Ok(Row::Skipped { figure: figure.into(), why });
    }
    let figure = format!("{figure}: {} guests, {} claims", audit.guests.len(), audit.claims.len());
    let leg: Leg<'_> = Box::new(|| timed(|| Ok::<_, io::Error>(verify(bundle, &Pins::default()))));
    let seconds = interleave(15, vec![leg])?;
    Ok(Samples::of(&figure, Unit::Milliseconds, seconds, &[]).below(AUDIT_LIMIT_S).row())
}
