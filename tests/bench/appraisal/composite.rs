//! Whole guests: a CPU and its devices under one challenge. Nobody else appraises both together, so there is no peer.

use std::error::Error;
use std::path::Path;

use tiltyard_attestation::policy::Level;
use tiltyard_attestation::{AttestationResult, Refusal, Verifier};
use tiltyard_simulator::hostile::Set;
use tiltyard_simulator::hostile::composite::{Board, Cpu, Lab};
use tiltyard_simulator::nvidia::sets::NOW;

use crate::measure::{Leg, Row, Samples, Unit, interleave, timed};

/// The key cache of the tests of simulated SNP, whose roots these are.
const SEED: [u8; 32] = [0x5a; 32];
const KEYS: &str = "target/tmp";

const CHECKS: &str = "every check of every part, and what binds the parts; collateral of both vendors";
const REMEMBERED: &str =
    "the same; signatures but those of the reports, and the manifests' form, are remembered";

pub(crate) fn rows() -> Result<Vec<Row>, Box<dyn Error>> {
    let lab = Lab::from_seed(&SEED, Some(Path::new(KEYS)), NOW)?;
    let guests = [
        ("whole guest: SNP version 5, eight H100, four switches", Cpu::Turin, Board::ProtectedPcie, 20),
        ("whole guest: TDX version 5, one H100", Cpu::TdxV5, Board::OneH100, 60),
    ];
    let mut rows = Vec::new();
    for (figure, cpu, board, rounds) in guests {
        rows.extend(guest(figure, &lab.issue(&lab.draft(cpu, board)?)?, rounds)?);
    }
    Ok(rows)
}

fn guest(figure: &str, set: &Set, rounds: usize) -> Result<Vec<Row>, Box<dyn Error>> {
    // The only level that accepts roots that are no vendor's.
    let kept = set.expected.verifier(Level::Lab)?;
    let legs: Vec<Leg<'_>> = vec![
        Box::new(|| {
            timed(|| -> Result<_, Box<dyn Error>> { Ok(by(&set.expected.verifier(Level::Lab)?, set)?) })
        }),
        Box::new(|| timed(|| by(&kept, set))),
    ];
    let mut seconds = interleave(rounds, legs)?;
    let kept = seconds.pop().unwrap_or_default();
    let cold = Samples::of(figure, Unit::Milliseconds, seconds, &[]);
    let kept = Samples::of(&format!("{figure}, kept verifier"), Unit::Milliseconds, vec![kept], &[]);
    Ok(vec![cold.checking(CHECKS, &[]).row(), kept.checking(REMEMBERED, &[]).row()])
}

fn by(verifier: &Verifier, set: &Set) -> Result<AttestationResult, Refusal> {
    set.appraise_by(verifier)
}
