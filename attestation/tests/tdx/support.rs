//! Genuine vectors, and the steps of an appraisal below the envelope.

use tiltyard_attestation::policy::{
    GpuFloor, Level, Platform, PlatformFlag, PlatformKind, TdxFloor, TeeFloor,
};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues, TdxReference};
use tiltyard_attestation::result::TdxFacts;
use tiltyard_attestation::tdx::{Authority, Demands, Quote, declared_len};
use tiltyard_attestation::{
    AppraisalPolicy, Backend, CheckId, Code, Collateral, Hex, Links, Stopped, TdxCollateral, Trace,
    TrustAnchors, Verdict,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/tdx/");
pub const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/tdx/");

/// 2025-06-29, in the window of the collateral for `dcapqvl_tdx_quote`.
pub const V4_NOW: u64 = 1_751_155_200;
/// 2026-02-28, in the window of the collateral for `dcapqvl_tdx_quote_outdated`.
pub const V5_NOW: u64 = 1_772_236_800;
/// 2026-10-14, in the window of the collateral for `dcapqvl_tdx_quote_td15ex`.
pub const EX_NOW: u64 = 1_791_936_000;
/// 2026-11-22.
pub const TODAY: u64 = 1_795_371_000;

pub fn file(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(format!("{FOLDER}{name}")).unwrap();
    if !name.ends_with(".hex") {
        return bytes;
    }
    let text = String::from_utf8(bytes).unwrap();
    let digits = text.trim().trim_start_matches("0x").as_bytes();
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// What a collector makes of a buffer that begins with a quote.
pub fn trimmed(name: &str) -> Vec<u8> {
    let mut bytes = file(name);
    bytes.truncate(declared_len(&bytes).unwrap());
    bytes
}

pub fn set(name: &str) -> TdxCollateral {
    TdxCollateral::from_json(&file(name)).unwrap()
}

pub fn collateral(sets: Vec<TdxCollateral>) -> Collateral {
    Collateral { tdx: sets, ..Collateral::none() }
}

/// A quote with all that is needed to hold it against something.
pub struct Case {
    pub quote: Vec<u8>,
    pub collateral: Collateral,
    pub policy: AppraisalPolicy,
    pub reference: Option<ReferenceValues>,
    pub event_log: Option<Vec<u8>>,
    pub accepted_evaluation: u32,
    pub now: u64,
}

pub struct Outcome {
    pub trace: Trace,
    pub facts: Option<TdxFacts>,
}

impl Case {
    /// A quote alone, looked at under the `lab` preset today.
    pub fn of(quote: Vec<u8>) -> Self {
        Self {
            quote,
            collateral: Collateral::none(),
            policy: AppraisalPolicy::preset(Level::Lab),
            reference: None,
            event_log: None,
            accepted_evaluation: 0,
            now: TODAY,
        }
    }

    /// The UpToDate quote, its collateral, and reference values made for it, under a charter of `level`.
    pub fn up_to_date(level: Level) -> Self {
        let quote = trimmed("dcapqvl_tdx_quote");
        let reference = reference(&quote, &[]);
        Self {
            collateral: collateral(vec![set("dcapqvl_tdx_quote_collateral.json")]),
            policy: charter(level, &floor(), &quote),
            reference: Some(reference),
            now: V4_NOW,
            ..Self::of(quote)
        }
    }

    /// The COS quote with its log, and reference values that list every event.
    pub fn cos(level: Level) -> Self {
        let quote = trimmed("gotdx_cos-113-tdx-quote.dat");
        let log = filled("gotdx_ccel_data.dat.unfilled", 262_144);
        let digests = digests(&log);
        Self {
            policy: charter(level, &floor(), &quote),
            reference: Some(reference(&quote, &digests)),
            event_log: Some(log),
            ..Self::of(quote)
        }
    }

    pub fn run(&self) -> Outcome {
        let (anchors, links) = (TrustAnchors::vendor(), Links::new());
        let mut trace = Trace::new();
        let facts = self.judge(&anchors, &links, &mut trace).ok();
        Outcome { trace, facts }
    }

    fn judge(&self, anchors: &TrustAnchors, links: &Links, trace: &mut Trace) -> Result<TdxFacts, Stopped> {
        let Self { policy, collateral, now, .. } = self;
        let quote = Quote::parse(&self.quote, trace)?;
        let authority = Authority { anchors, policy, links, collateral, now: *now };
        let authentic = authority.authenticate(quote, trace)?;
        let demands = Demands {
            accepted_evaluation: self.accepted_evaluation,
            policy,
            reference: self.reference.as_ref(),
            config: None,
            event_log: self.event_log.as_deref(),
            now: *now,
        };
        Ok(demands.judge(&authentic, trace))
    }
}

impl Outcome {
    pub fn findings(&self) -> Vec<(CheckId, Code)> {
        self.trace.findings().iter().map(|finding| (finding.check, finding.code)).collect()
    }

    pub fn verdict(&self, check: CheckId) -> Verdict {
        self.trace.outcomes().iter().find(|row| row.check == check).unwrap().verdict
    }

    pub fn got(&self, check: CheckId) -> &str {
        &self.trace.outcomes().iter().find(|row| row.check == check).unwrap().got
    }

    pub fn facts(&self) -> &TdxFacts {
        self.facts.as_ref().unwrap()
    }
}

/// Findings of a case, in order.
pub fn findings(case: &Case) -> Vec<(CheckId, Code)> {
    case.run().findings()
}

pub fn floor() -> TdxFloor {
    TdxFloor {
        tcb_evaluation: 17,
        modules: vec![],
        platform_flags: vec![
            PlatformFlag::DynamicPlatform,
            PlatformFlag::CachedKeys,
            PlatformFlag::SmtEnabled,
        ],
        refused_advisories: vec![],
        xfam: 0x6_1ae7,
    }
}

/// A charter of `level` with this floor, in which the platform of `quote` is enrolled.
pub fn charter(level: Level, floor: &TdxFloor, quote: &[u8]) -> AppraisalPolicy {
    let platform = Platform {
        kind: PlatformKind::Ppid,
        id: ppid(quote).into(),
        custody: String::new(),
        enrolled_at: 0,
        revoked_at: None,
    };
    let tee = TeeFloor { snp: vec![], tdx: Some(floor.clone()) };
    AppraisalPolicy::from_floors(level, &[Backend::Tdx], &tee, &GpuFloor::none(), &[platform]).unwrap()
}

/// PPID of the platform that made a quote.
pub fn ppid(quote: &[u8]) -> Hex<16> {
    let facts = Case::of(quote.to_vec()).run().facts;
    facts.unwrap().ppid
}

/// Offset of the TD report within a quote.
pub fn body_at(quote: &[u8]) -> usize {
    if quote[0] == 4 { 48 } else { 54 }
}

pub fn field<const N: usize>(quote: &[u8], at: usize) -> Hex<N> {
    let at = body_at(quote) + at;
    Hex::from_slice(&quote[at..at + N]).unwrap()
}

/// Reference values that `quote` measures to, with these events.
pub fn reference(quote: &[u8], events: &[Hex<48>]) -> ReferenceValues {
    let image = ReferenceImage {
        name: "an image".to_owned(),
        backend: Backend::Tdx,
        image: Hex([1; 32]),
        measurement: field(quote, 136),
        tdx: Some(TdxReference {
            events: events.to_vec(),
            rtmr1: None,
            rtmr2: None,
            mrowner: Hex([0; 48]),
            mrownerconfig: Hex([0; 48]),
        }),
    };
    ReferenceValues { images: vec![image], foreign_anchors: None }
}

/// A log with its area, as it was published.
pub fn filled(name: &str, area_bytes: usize) -> Vec<u8> {
    let mut log = file(name);
    log.resize(area_bytes, 0xff);
    log
}

pub fn digests(log: &[u8]) -> Vec<Hex<48>> {
    let log = tiltyard_attestation::eventlog::EventLog::parse(log).unwrap();
    log.events().iter().map(|event| event.digest()).collect()
}
