//! Replay: everything that can be derived is derived again, and compared byte for byte (TOURNAMENT 10).

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::conductor::{Conductor, Setup, Standings, State};
use crate::draw::DrawSeed;
use crate::ids::Digest;
use crate::record::{
    BootBody, ConflictingBody, DecidedBody, DecisionBody, DrawRevealBody, EntryRefusedBody, LEAF_MAX_BYTES,
    LeafType, OrderBody, OutcomeBody, RawLeaf, RulebookBody, leaf_hash, merkle_root,
};

/// Most leaves of one record.
pub const LEAVES_MAX: usize = 1 << 20;
/// Longest `expected` or `got` that a divergence quotes, in bytes.
const QUOTE_MAX_BYTES: usize = 300;

/// The first place at which a record is not what its inputs make.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record, leaf {seq}, {field}: expected {expected}, found {got}")]
pub struct Divergence {
    pub seq: u64,
    /// Path of the first differing value, or what is wrong with the whole leaf.
    pub field: String,
    pub expected: String,
    pub got: String,
}

/// A record that holds: what it says, derived anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    pub tournament: String,
    pub charter: Digest,
    pub rulebook_sha256: Digest,
    pub datasets: Vec<String>,
    pub cap_bits: u32,
    /// Every boot of the referee, with the leaf that introduces it.
    pub boots: Vec<(u64, BootBody)>,
    /// Every order, with its leaf.
    pub orders: Vec<(u64, OrderBody)>,
    /// The final leaf's draw seed, held to its commitment.
    pub draw: DrawRevealBody,
    pub decided: DecidedBody,
    pub state: State,
    pub standings: Standings,
    /// RFC 6962 root over all leaves.
    pub root: Digest,
    pub leaves: u64,
}

/// Replays a complete record against the rulebook's bytes.
///
/// Inputs (entries, orders, outcomes, decisions, boots, times) are read from their leaves; every derived
/// leaf must be equal byte for byte. An edited input therefore shows at the first leaf that follows
/// from it, at the latest at the next one with a record root.
pub fn replay(leaves: &[Vec<u8>], rulebook: &[u8]) -> Result<Replayed, Divergence> {
    // A leaf that is missing, moved or broken shows at its own place, before anything is derived.
    for (at, leaf) in leaves.iter().enumerate().take(LEAVES_MAX) {
        parse(at, leaf)?;
    }
    let draw = find_reveal(leaves)?;
    let seed = DrawSeed::new(draw.seed.0);
    let run = drive(leaves, rulebook, &seed)?;
    let end = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
    if !run.conductor.is_revealed() || !run.tail.is_empty() {
        return Err(missing(end));
    }
    let decided = run.decided.ok_or_else(|| missing(end))?;
    let hashes: Vec<_> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    Ok(Replayed {
        tournament: run.conductor.tournament().to_owned(),
        charter: run.setup.charter,
        rulebook_sha256: run.setup.rulebook_sha256,
        datasets: run.setup.datasets,
        cap_bits: run.setup.cap_bits,
        boots: run.boots,
        orders: run.orders,
        draw,
        decided,
        state: run.conductor.state(),
        standings: run.conductor.standings(),
        root: merkle_root(&hashes),
        leaves: end,
    })
}

/// Rebuilds the conductor of a record that was broken off anywhere, also between the leaves of one event.
///
/// What the record lacks of that event comes with the next [`Conductor::take_leaves`].
pub fn resume(leaves: &[Vec<u8>], rulebook: &[u8], seed: &DrawSeed) -> Result<Conductor, Divergence> {
    let mut run = drive(leaves, rulebook, seed)?;
    run.conductor.restore_pending(run.tail);
    Ok(run.conductor)
}

struct Run {
    conductor: Conductor,
    setup: RulebookBody,
    boots: Vec<(u64, BootBody)>,
    orders: Vec<(u64, OrderBody)>,
    decided: Option<DecidedBody>,
    /// Leaves of the last event that the record does not have.
    tail: Vec<Vec<u8>>,
}

/// Feeds the record's inputs to a conductor and holds its leaves to the record's.
fn drive(leaves: &[Vec<u8>], rulebook: &[u8], seed: &DrawSeed) -> Result<Run, Divergence> {
    if leaves.len() > LEAVES_MAX {
        return Err(Divergence {
            seq: u64::try_from(LEAVES_MAX).unwrap_or(u64::MAX),
            field: "record".into(),
            expected: format!("at most {LEAVES_MAX} leaves"),
            got: leaves.len().to_string(),
        });
    }
    let first = leaves.first().ok_or_else(|| missing(0))?;
    let (raw, setup) = open_leaf(first, rulebook)?;
    let opening = Setup {
        tournament: raw.tournament,
        rulebook: rulebook.to_vec(),
        datasets: setup.datasets.clone(),
        charter: setup.charter.0,
        cap_bits: setup.cap_bits,
    };
    let conductor = Conductor::open(opening, raw.time, seed.commitment())
        .map_err(|error| refusal(0, "rulebook", &error, first))?;
    let (boots, orders) = (Vec::new(), Vec::new());
    let mut run = Run { conductor, setup, boots, orders, decided: None, tail: Vec::new() };
    let mut at = 0;
    loop {
        let made = run.conductor.take_leaves();
        let rest = leaves.get(at..).unwrap_or_default();
        for (index, (made, got)) in made.iter().zip(rest).enumerate() {
            if made != got {
                return Err(differ(at + index, made, got));
            }
        }
        if made.len() > rest.len() {
            run.tail = made.get(rest.len()..).unwrap_or_default().to_vec();
            return Ok(run);
        }
        at += made.len();
        let Some(leaf) = leaves.get(at) else { return Ok(run) };
        run.feed(at, leaf, seed)?;
        if run.conductor.pending_is_empty() {
            return Err(Divergence {
                seq: seq(at),
                field: "leaf".into(),
                expected: "an input that changes something".into(),
                got: quote(leaf),
            });
        }
    }
}

impl Run {
    /// Gives the conductor the input that a leaf holds.
    fn feed(&mut self, at: usize, leaf: &[u8], seed: &DrawSeed) -> Result<(), Divergence> {
        let raw = parse(at, leaf)?;
        let (time, value) = (raw.time, raw.body);
        let conductor = &mut self.conductor;
        match raw.kind {
            LeafType::Boot => {
                let body: BootBody = body(at, value)?;
                self.boots.push((seq(at), body.clone()));
                conductor.boot(time, body).map_err(|error| refusal(at, "body", &error, leaf))
            }
            LeafType::Entry => {
                // A refusal makes an `entry_refused` leaf, which then differs from this one.
                let _recorded = conductor.enter(time, body(at, value)?);
                Ok(())
            }
            LeafType::EntryRefused => {
                let EntryRefusedBody { entry, reason } = body(at, value)?;
                let _recorded = if reason.is_external() {
                    conductor.refuse(time, entry, reason)
                } else {
                    conductor.enter(time, entry)
                };
                Ok(())
            }
            LeafType::Closed => conductor.close(time, seed).map_err(|e| refusal(at, "body", &e, leaf)),
            LeafType::Order => {
                let body: OrderBody = body(at, value)?;
                self.orders.push((seq(at), body.clone()));
                conductor.ordered(time, body).map_err(|error| refusal(at, "body", &error, leaf))
            }
            LeafType::Outcome => {
                let recorded = match body(at, value)? {
                    OutcomeBody::Train(outcome) => conductor.trained(time, outcome),
                    OutcomeBody::Evaluate(outcome) => conductor.evaluated(time, outcome),
                };
                recorded.map(|_| ()).map_err(|error| refusal(at, "body", &error, leaf))
            }
            LeafType::ConflictingOutcome => {
                let body: ConflictingBody = body(at, value)?;
                conductor.conflicting(time, &body).map_err(|error| refusal(at, "body", &error, leaf))
            }
            LeafType::Decision => {
                let body: DecisionBody = body(at, value)?;
                conductor.decide(time, body).map_err(|error| refusal(at, "body", &error, leaf))
            }
            LeafType::RoundSettled => {
                conductor.advance(time).map(|_| ()).map_err(|error| refusal(at, "body", &error, leaf))
            }
            LeafType::Decided => {
                self.decided = Some(body(at, value)?);
                conductor.reveal(time).map_err(|error| refusal(at, "body", &error, leaf))
            }
            LeafType::Rulebook
            | LeafType::DrawCommit
            | LeafType::Fixture
            | LeafType::Shares
            | LeafType::Archive
            | LeafType::DrawReveal => Err(Divergence {
                seq: seq(at),
                field: "type".into(),
                expected: "an input of the tournament".into(),
                got: format!("{:?}", raw.kind),
            }),
        }
    }
}

/// The first leaf, held to the rulebook that was handed in.
fn open_leaf(leaf: &[u8], rulebook: &[u8]) -> Result<(RawLeaf, RulebookBody), Divergence> {
    let raw = parse(0, leaf)?;
    if raw.kind != LeafType::Rulebook {
        let (expected, got) = (format!("{:?}", LeafType::Rulebook), format!("{:?}", raw.kind));
        return Err(Divergence { seq: 0, field: "type".into(), expected, got });
    }
    let setup: RulebookBody = body(0, raw.body.clone())?;
    let expected = Digest::sha256(rulebook);
    if setup.rulebook_sha256 != expected {
        let (expected, got) = (expected.to_string(), setup.rulebook_sha256.to_string());
        return Err(Divergence { seq: 0, field: "body.rulebook_sha256".into(), expected, got });
    }
    Ok((raw, setup))
}

/// The revealed seed, which must give the commitment that stands beside it.
fn find_reveal(leaves: &[Vec<u8>]) -> Result<DrawRevealBody, Divergence> {
    // Only boots may follow it.
    for (at, leaf) in leaves.iter().enumerate().rev() {
        let Ok(raw) = parse(at, leaf) else { break };
        match raw.kind {
            LeafType::Boot => {}
            LeafType::DrawReveal => {
                let reveal: DrawRevealBody = body(at, raw.body)?;
                let got = DrawSeed::new(reveal.seed.0).commitment().0;
                if got != reveal.commitment {
                    let (expected, got) = (reveal.commitment.to_string(), got.to_string());
                    return Err(Divergence { seq: seq(at), field: "body.seed".into(), expected, got });
                }
                return Ok(reveal);
            }
            _ => break,
        }
    }
    Err(missing(seq(leaves.len())))
}

fn parse(at: usize, leaf: &[u8]) -> Result<RawLeaf, Divergence> {
    let wrong = |expected: &str| Divergence {
        seq: seq(at),
        field: "leaf".into(),
        expected: expected.into(),
        got: quote(leaf),
    };
    if leaf.len() > LEAF_MAX_BYTES {
        return Err(wrong("at most 16384 bytes"));
    }
    let raw: RawLeaf = serde_json::from_slice(leaf).map_err(|_| wrong("a canonical leaf"))?;
    if raw.v != 1 {
        return Err(wrong("version 1"));
    }
    if raw.seq != seq(at) {
        let (expected, got) = (at.to_string(), raw.seq.to_string());
        return Err(Divergence { seq: seq(at), field: "seq".into(), expected, got });
    }
    Ok(raw)
}

fn body<B: DeserializeOwned>(at: usize, value: Value) -> Result<B, Divergence> {
    let got = quote(value.to_string().as_bytes());
    serde_json::from_value(value).map_err(|error| Divergence {
        seq: seq(at),
        field: "body".into(),
        expected: error.to_string(),
        got,
    })
}

fn seq(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}

fn missing(seq: u64) -> Divergence {
    let (expected, got) = ("draw_reveal".to_owned(), "the end of the record".to_owned());
    Divergence { seq, field: "type".into(), expected, got }
}

fn refusal(at: usize, field: &str, error: &dyn std::fmt::Display, leaf: &[u8]) -> Divergence {
    Divergence {
        seq: seq(at),
        field: field.into(),
        expected: format!("no refusal ({error})"),
        got: quote(leaf),
    }
}

/// The first differing value of two leaves, by its path.
fn differ(at: usize, made: &[u8], got: &[u8]) -> Divergence {
    let values = serde_json::from_slice::<Value>(made).ok().zip(serde_json::from_slice::<Value>(got).ok());
    let found = values.and_then(|(made, got)| first_difference("", &made, &got));
    let (field, expected, got) = found.unwrap_or_else(|| ("leaf".to_owned(), quote(made), quote(got)));
    Divergence { seq: seq(at), field, expected, got }
}

fn first_difference(path: &str, made: &Value, got: &Value) -> Option<(String, String, String)> {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (made, got) {
        (Value::Object(a), Value::Object(b)) => {
            // The type and the place say more than whatever follows from them.
            let first = ["type", "seq", "v", "tournament", "time"];
            let keys = first.into_iter().chain(a.keys().chain(b.keys()).map(String::as_str));
            for key in keys {
                let (x, y) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                if let Some(found) = first_difference(&join(key), x, y) {
                    return Some(found);
                }
            }
            None
        }
        (Value::Array(a), Value::Array(b)) => {
            for index in 0..a.len().max(b.len()) {
                let (x, y) = (a.get(index).unwrap_or(&Value::Null), b.get(index).unwrap_or(&Value::Null));
                if let Some(found) = first_difference(&join(&index.to_string()), x, y) {
                    return Some(found);
                }
            }
            None
        }
        (a, b) if a == b => None,
        (a, b) => Some((path.to_owned(), quote(a.to_string().as_bytes()), quote(b.to_string().as_bytes()))),
    }
}

fn quote(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..QUOTE_MAX_BYTES).unwrap_or(bytes)).into_owned();
    if bytes.len() > QUOTE_MAX_BYTES { format!("{text}... ({} bytes)", bytes.len()) } else { text }
}
