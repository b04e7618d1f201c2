//! The signed facts of the guest itself, held against policy and reference values (TDX-13..TDX-18).

use super::body::Body;
use super::platform::Demands;
use crate::Hex;
use crate::checks::{CheckId, Code};
use crate::eventlog::{DataState, Event, EventLog, EventLogError};
use crate::policy::Level;
use crate::reference::{ReferenceImage, TdxReference};
use crate::trace::{Judged, Trace};

const DEBUG: u64 = 1 << 0;
/// Bits 4 to 6: the TD can be profiled from outside.
const PROFILING: u64 = 0b111 << 4;
const MIGRATABLE: u64 = 1 << 29;
/// Bits that are reserved in every version of table 3.23: 1-3, 7-15, 23-26, 32-61.
const RESERVED: u64 = 0b111 << 1 | 0x1ff << 7 | 0b1111 << 23 | 0x3fff_ffff << 32;
const SEPT_VE_DISABLE: u64 = 1 << 28;
/// SERVTD_EXT, PKS, KL, TPA, PERFMON, and bits 18 to 22, which have no name.
const UNWANTED: u64 = 1 << 17 | 0b1_1111 << 18 | 0b11 << 30 | 0b11 << 62;
/// x87 and SSE state, which XFAM must always have.
const XFAM_MANDATORY: u64 = 0b11;
const ZERO: Hex<48> = Hex([0; 48]);

/// The guest's event log, where one was given, and whether it replays to the quote's registers.
type Log<'a> = Option<Result<(Judged, EventLog<'a>), EventLogError>>;

/// What the guest's checks found beside their verdicts.
pub(super) struct Guest {
    pub(super) image_name: String,
    /// Events of a log that replayed.
    pub(super) events: Option<usize>,
}

impl Demands<'_> {
    pub(super) fn judge_guest(&self, body: &Body<'_>, trace: &mut Trace) -> Guest {
        trace.note(CheckId::Tdx13, neither_debug_nor_migration(body.td_attributes()));
        trace.note(CheckId::Tdx14, self.attributes(body.td_attributes()));
        trace.note(CheckId::Tdx15, self.extended_features(body.xfam()));
        trace.note(CheckId::Tdx16, no_service_td(body));
        let log = self.event_log.filter(|area| !area.is_empty()).map(EventLog::parse);
        let log = log.map(|log| log.map(|log| (replays(&log, body), log)));
        let replayed = match &log {
            Some(Ok((replay, log))) if replay.passed() => Some(log.events().len()),
            _ => None,
        };
        let (image, measurement, events) = self.image(&log, body);
        trace.note(CheckId::Tdx17, measurement);
        trace.note(CheckId::Tdx18, events);
        Guest { image_name: image.map(|image| image.name.clone()).unwrap_or_default(), events: replayed }
    }

    fn attributes(&self, attributes: u64) -> Judged {
        const EXPECTED: &str =
            "bit 28 (SEPT_VE_DISABLE) 1; bits 17-22, 30 (PKS), 31 (KL), 62 (TPA), 63 (PERFMON) 0";
        let got = format!("{attributes:#018x}");
        let code = match (attributes & SEPT_VE_DISABLE, attributes & UNWANTED) {
            (SEPT_VE_DISABLE, 0) => return Judged::pass(EXPECTED, got),
            (SEPT_VE_DISABLE, _) => Code::TdAttributes,
            _ => Code::SeptVe,
        };
        match self.policy.level() {
            Level::Lab => Judged::warning(EXPECTED, got),
            Level::Standard | Level::Strict => Judged::fail(code, EXPECTED, got),
        }
    }

    /// A mask that nobody named allows every feature; the mandatory ones are asked for always.
    fn extended_features(&self, xfam: u64) -> Judged {
        let mask = self.policy.tdx().map_or(u64::MAX, |floor| floor.xfam);
        let holds = xfam & XFAM_MANDATORY == XFAM_MANDATORY && xfam & !mask == 0;
        let expected = match self.policy.tdx() {
            Some(_) => format!("bits 0 and 1, and none outside {mask:#x}"),
            None => "bits 0 and 1; no mask is named".to_owned(),
        };
        Judged::require(holds, Code::Xfam, expected, format_args!("{xfam:#x}"))
    }

    /// The reference image of this guest, with TDX-17 and TDX-18 by it. MRTD is the firmware's alone, so many images
    /// may have one: of those the first by which both checks hold, else the first.
    fn image(&self, log: &Log<'_>, body: &Body<'_>) -> (Option<&ReferenceImage>, Judged, Judged) {
        let launched = |row: &ReferenceImage| {
            self.config.is_none_or(|config| row.backend == config.backend && row.image == config.image)
        };
        let images = self.reference.map(|reference| reference.images.as_slice()).unwrap_or_default();
        let mut judged = images
            .iter()
            .filter(|row| launched(row) && row.measurement == body.mrtd())
            .map(|row| (Some(row), self.measurement(Some(row), body), self.events(log, Some(row), body)));
        let first = judged.next();
        let holds = |(_, measurement, events): &(_, Judged, Judged)| measurement.passed() && events.passed();
        match first {
            Some(first) if holds(&first) => first,
            Some(first) => judged.find(holds).unwrap_or(first),
            None => (None, self.measurement(None, body), self.events(log, None, body)),
        }
    }

    fn measurement(&self, image: Option<&ReferenceImage>, body: &Body<'_>) -> Judged {
        let expected = match self.config {
            Some(config) => format!("a reference value of image {}", config.image),
            None => "a reference value".to_owned(),
        };
        if self.reference.is_none() {
            return self.policy.absent(
                Code::MeasurementMismatch,
                expected,
                format_args!("no reference values were given; MRTD {}", body.mrtd()),
            );
        }
        let (owner, owner_config) = image
            .and_then(|image| image.tdx.as_ref())
            .map_or((ZERO, ZERO), |reference| (reference.mrowner, reference.mrownerconfig));
        Judged::require(image.is_some(), Code::MeasurementMismatch, expected, body.mrtd())
            .and_then(|| Judged::equal(Code::OwnerMismatch, owner, body.mrowner()))
            .and_then(|| Judged::equal(Code::OwnerMismatch, owner_config, body.mrownerconfig()))
            .and_then(|| Judged::pass("MRTD and owner fields as referenced", body.mrtd()))
    }

    /// Without a log nothing explains a register that was extended.
    fn without_log(&self, image: Option<&ReferenceImage>, body: &Body<'_>) -> Judged {
        const EXPECTED: &str = "an event log that replays to RTMR0..3";
        let untouched = body.rtmr().iter().all(|register| *register == ZERO);
        match image {
            Some(image) if untouched && image.tdx.is_none() => {
                Judged::pass("registers that are all zero", "all zero, no event log")
            }
            _ => self.policy.absent(Code::RtmrReplayMismatch, EXPECTED, "no event log was given"),
        }
    }

    fn events(&self, log: &Log<'_>, image: Option<&ReferenceImage>, body: &Body<'_>) -> Judged {
        match log {
            None => self.without_log(image, body),
            Some(Err(error)) => Judged::fail(Code::RtmrReplayMismatch, "an event log", error),
            Some(Ok((replay, log))) => replay.clone().and_then(|| self.listed(log, image, body)),
        }
    }

    /// Each event of a log that replayed is one that the image may have.
    fn listed(&self, log: &EventLog<'_>, image: Option<&ReferenceImage>, body: &Body<'_>) -> Judged {
        const EXPECTED: &str = "events of this image only";
        let count = log.events().len();
        if self.reference.is_none() {
            let got = format!("{count} events replay; no reference values were given");
            return self.policy.absent(Code::UnknownEvent, EXPECTED, got);
        }
        let Some(image) = image else {
            return Judged::fail(Code::UnknownEvent, EXPECTED, "no reference image has this MRTD");
        };
        let listed = image.tdx.as_ref().map(|reference| reference.events.as_slice()).unwrap_or_default();
        // Fixed events are the same on every machine, and say nothing.
        let allowed = |event: &Event<'_>| {
            event.register().is_none()
                || event.is_fixed()
                || (event.data_state() != DataState::Other && listed.contains(&event.digest()))
        };
        if let Some((at, event)) = log.events().iter().enumerate().find(|(_, event)| !allowed(event)) {
            let got = format!("event {at} of type {:#010x}, digest {}", event.kind().0, event.digest());
            return Judged::fail(Code::UnknownEvent, EXPECTED, got);
        }
        registers(image.tdx.as_ref(), body).and_then(|| {
            Judged::pass("replay, and events of this image only", format_args!("{count} events"))
        })
    }
}

fn neither_debug_nor_migration(attributes: u64) -> Judged {
    let got = format!("{attributes:#018x}");
    let clear = |bits: u64, code, expected| Judged::require(attributes & bits == 0, code, expected, &got);
    clear(DEBUG | PROFILING, Code::DebugTd, "bits 0 (DEBUG) and 4-6 (profiling) 0")
        .and_then(|| clear(MIGRATABLE, Code::TdAttributes, "bit 29 (MIGRATABLE) 0"))
        .and_then(|| clear(RESERVED, Code::TdAttributes, "reserved bits 1-3, 7-15, 23-26, 32-61 0"))
        .and_then(|| Judged::pass("neither debug, profiling nor migration; reserved bits 0", &got))
}

/// A service TD may migrate the guest or look into it.
fn no_service_td(body: &Body<'_>) -> Judged {
    const EXPECTED: &str = "no service TD";
    let Some(bound) = body.mr_servicetd() else {
        return Judged::not_applicable("before TDX 1.5");
    };
    Judged::require(bound == ZERO, Code::ServiceTd, EXPECTED, format_args!("MR_SERVICETD {bound}")).and_then(
        || match body.extension() {
            Some(extension) => Judged::require(
                !extension.service_td && extension.vmid == 0,
                Code::ServiceTd,
                "no service TD at creation or now, and no partition",
                format_args!("service TD {}, VM {}", extension.service_td, extension.vmid),
            ),
            None => Judged::pass(EXPECTED, "none"),
        },
    )
}

fn replays(log: &EventLog<'_>, body: &Body<'_>) -> Judged {
    let (expected, got) = (body.rtmr(), log.replay());
    let differing = expected.iter().zip(&got).enumerate().find(|(_, (expected, got))| expected != got);
    match differing {
        None => Judged::pass("RTMR0..3", "the same"),
        Some((at, (expected, got))) => Judged::fail(
            Code::RtmrReplayMismatch,
            format_args!("RTMR{at} {expected}"),
            format_args!("{got} by replay"),
        ),
    }
}

/// Registers that the image determines.
fn registers(reference: Option<&TdxReference>, body: &Body<'_>) -> Judged {
    let [_, rtmr1, rtmr2, _] = body.rtmr();
    let wanted = |wanted: Option<Hex<48>>, got: Hex<48>| match wanted {
        Some(wanted) => Judged::equal(Code::MeasurementMismatch, wanted, got),
        None => Judged::pass("any", got),
    };
    let (first, second) = reference.map_or((None, None), |reference| (reference.rtmr1, reference.rtmr2));
    wanted(first, rtmr1).and_then(|| wanted(second, rtmr2))
}
