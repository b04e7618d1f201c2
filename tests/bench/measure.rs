//! Legs that take turns, and the figures that come of it.

use std::error::Error;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// One contender: runs its work once and tells how long that took, without what it prepared or dropped.
pub(crate) type Leg<'a> = Box<dyn FnMut() -> Result<Duration, Box<dyn Error>> + 'a>;

/// Seconds of every round, ours and the peers', the n-th of each taken beside the n-th of the others.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Samples {
    pub(crate) figure: String,
    pub(crate) unit: Unit,
    pub(crate) ours: Vec<f64>,
    /// What the work of a round is, where the figure's name does not say it.
    #[serde(default)]
    pub(crate) checks: String,
    /// In seconds.
    #[serde(default)]
    pub(crate) limit_s: Option<f64>,
    #[serde(default)]
    pub(crate) peers: Vec<PeerSamples>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PeerSamples {
    pub(crate) name: String,
    pub(crate) seconds: Vec<f64>,
    #[serde(default)]
    pub(crate) checks: String,
    /// Least share of the peer's speed that is promised.
    #[serde(default)]
    pub(crate) target: Option<f64>,
}

/// How seconds are shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Microseconds,
    Milliseconds,
    /// Work of one round over its time.
    Rate {
        work: f64,
        of: String,
    },
}

/// A line of the report.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum Row {
    Measured {
        figure: String,
        unit: String,
        ours: Spread,
        #[serde(skip_serializing_if = "String::is_empty")]
        checks: String,
        limit: Option<Bound>,
        peers: Vec<Peer>,
    },
    Skipped {
        figure: String,
        why: String,
    },
}

/// Of rounds in one unit; p95 is the slow end, whatever the unit.
#[derive(Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) best: f64,
    pub(crate) rounds: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) figures: Spread,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) checks: String,
    /// Median over rounds of the peer's time by ours: above 1, we are faster.
    pub(crate) ratio: f64,
    /// Of both sides' best rounds: on a busy machine those that were left alone.
    pub(crate) ratio_of_bests: f64,
    pub(crate) target: Option<Bound>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Bound {
    pub(crate) value: f64,
    pub(crate) holds: bool,
}

/// Runs the legs in turn, each round starting with another one; the first round warms up and is dropped.
pub(crate) fn interleave(rounds: usize, mut legs: Vec<Leg<'_>>) -> Result<Vec<Vec<f64>>, Box<dyn Error>> {
    let count = legs.len();
    let mut seconds = vec![Vec::with_capacity(rounds); count];
    for round in 0..=rounds {
        for turn in 0..count {
            let index = (round + turn) % count;
            let took = legs[index]()?;
            if round > 0 {
                seconds[index].push(took.as_secs_f64());
            }
        }
    }
    Ok(seconds)
}

/// Times `work` alone: what it returns is dropped afterwards.
pub(crate) fn timed<T, E: Into<Box<dyn Error>>>(
    work: impl FnOnce() -> Result<T, E>,
) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let done = work();
    let took = start.elapsed();
    std::hint::black_box(done.map_err(Into::into)?);
    Ok(took)
}

impl Samples {
    /// Of legs in the order ours, then one for each peer (name, target).
    pub(crate) fn of(
        figure: &str,
        unit: Unit,
        seconds: Vec<Vec<f64>>,
        peers: &[(&str, Option<f64>)],
    ) -> Self {
        let mut seconds = seconds.into_iter();
        let ours = seconds.next().unwrap_or_default();
        let peers = seconds
            .zip(peers)
            .map(|(seconds, (name, target))| PeerSamples {
                name: (*name).into(),
                seconds,
                checks: String::new(),
                target: *target,
            })
            .collect();
        Self { figure: figure.into(), unit, ours, checks: String::new(), limit_s: None, peers }
    }

    /// Names what we check, then what each peer does.
    pub(crate) fn checking(mut self, ours: &str, peers: &[&str]) -> Self {
        self.checks = ours.into();
        self.peers.iter_mut().zip(peers).for_each(|(peer, checks)| peer.checks = (*checks).into());
        self
    }

    /// Promises a median below `seconds`.
    pub(crate) fn below(mut self, seconds: f64) -> Self {
        self.limit_s = Some(seconds);
        self
    }

    pub(crate) fn row(self) -> Row {
        let Self { figure, unit, ours, checks, limit_s, peers } = self;
        let peers = peers.into_iter().map(|peer| {
            let shares = peer.seconds.iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect();
            let ratio = quantile(shares, 0.5);
            let target = peer.target.map(|value| Bound { value, holds: ratio >= value });
            let ratio_of_bests = quantile(peer.seconds.clone(), 0.0) / quantile(ours.clone(), 0.0);
            let figures = Spread::of(&peer.seconds, &unit);
            Peer { name: peer.name, figures, checks: peer.checks, ratio, ratio_of_bests, target }
        });
        let peers = peers.collect();
        let median = quantile(ours.clone(), 0.5);
        let limit = limit_s.map(|value| Bound { value: unit.show(value), holds: median <= value });
        Row::Measured { figure, unit: unit.name(), ours: Spread::of(&ours, &unit), checks, limit, peers }
    }
}

impl Unit {
    pub(crate) fn rate(work: f64, of: &str) -> Self {
        Self::Rate { work, of: of.into() }
    }

    fn show(&self, seconds: f64) -> f64 {
        match self {
            Self::Microseconds => seconds * 1e6,
            Self::Milliseconds => seconds * 1e3,
            Self::Rate { work, .. } => work / seconds,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Microseconds => "us".into(),
            Self::Milliseconds => "ms".into(),
            Self::Rate { of, .. } => format!("{of}/s"),
        }
    }
}

impl Spread {
    fn of(seconds: &[f64], unit: &Unit) -> Self {
        let at = |share| unit.show(quantile(seconds.to_vec(), share));
        Self { p50: at(0.5), p95: at(0.95), best: at(0.0), rounds: seconds.len() }
    }
}

/// The nearest rank; not a number of nothing.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1) as f64;
    values.get((last * share).round() as usize).copied().unwrap_or(f64::NAN)
}
