//! What an auditor does: one bundle.

use std::error::Error;
use std::io;
use std::path::Path;

use tiltyard_audit::{Overall, Pins, verify};

use crate::measure::{Leg, Row, Samples, Unit, interleave, timed};
use crate::play::{Script, play};

/// An audit of the demo's bundle, in seconds.
const AUDIT_LIMIT_S: f64 = 2.0;

/// A bundle of the demo's size, and the demo's own where it lies.
pub(crate) fn rows() -> Result<Vec<Row>, Box<dyn Error>> {
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
