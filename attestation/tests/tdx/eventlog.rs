//! Event logs: form, replay, and what an image allows.

use tiltyard_attestation::eventlog::{
    CcelTable, CcelTableError, DataState, EVENT_LOG_MAX_BYTES, EVENTS_MAX, EventLog, EventLogError, EventType,
};
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues, TdxReference};
use tiltyard_attestation::{AppraisalPolicy, CheckId, Code, Hex, Verdict};

use crate::support::{Case, digests, field, file, filled, findings, reference, trimmed};

const HEADER_LEN: usize = 65;

fn cos_log() -> Vec<u8> {
    filled("gotdx_ccel_data.dat.unfilled", 262_144)
}

/// One event in its bytes.
fn event(register: u32, kind: u32, digest: &[u8; 48], data: &[u8]) -> Vec<u8> {
    let mut out = register.to_le_bytes().to_vec();
    out.extend(kind.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend(0x0cu16.to_le_bytes());
    out.extend(digest);
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
    out
}

fn header() -> Vec<u8> {
    file("gotdx_ccel_data.dat.unfilled")[..HEADER_LEN].to_vec()
}

fn rtmr(quote: &[u8]) -> [Hex<48>; 4] {
    [328, 376, 424, 472].map(|at| field(quote, at))
}

#[test]
fn the_cos_log_replays_to_its_quote() {
    let bytes = cos_log();
    let log = EventLog::parse(&bytes).unwrap();
    assert_eq!(log.events().len(), 43);
    assert_eq!(log.replay(), rtmr(&trimmed("gotdx_cos-113-tdx-quote.dat")));
}

#[test]
fn the_ovmf_log_is_read_with_and_without_its_fill() {
    let bare = file("trustee_CCEL_data_ovmf.unfilled");
    let area = filled("trustee_CCEL_data_ovmf.unfilled", 65_536);
    let log = EventLog::parse(&area).unwrap();
    assert_eq!(log.events().len(), 20);
    assert_eq!(EventLog::parse(&bare).as_ref(), Ok(&log));
    // RTMR0 and RTMR1 by an independent replay, which this log's own documentation does not give.
    let [rtmr0, rtmr1, ..] = log.replay();
    assert!(rtmr0.to_string().starts_with("8566f998798db09443b244c62de9a3041fb02e2e6936c439"));
    assert!(rtmr1.to_string().starts_with("775b9f6bfe99f8a31396f0d0218e67ffa796d3b96ccf961c"));
}

#[test]
fn data_is_what_was_measured_where_the_type_says_so() {
    for (name, area) in
        [("gotdx_ccel_data.dat.unfilled", 262_144), ("trustee_CCEL_data_ovmf.unfilled", 65_536)]
    {
        let bytes = filled(name, area);
        let log = EventLog::parse(&bytes).unwrap();
        let state = |state| log.events().iter().filter(|event| event.data_state() == state).count();
        assert_eq!(state(DataState::Other), 0, "{name}");
        assert!(state(DataState::Measured) >= 12, "{name}");
        assert!(state(DataState::NotInLog) >= 8, "{name}");
        for fixed in log.events().iter().filter(|event| event.is_fixed()) {
            assert!([EventType::SEPARATOR, EventType::EFI_ACTION].contains(&fixed.kind()), "{name}");
        }
    }
    // A variable whose value the host rewrote in the log.
    let bytes = cos_log();
    let at = bytes.windows(20).position(|window| window == *b"S\0e\0c\0u\0r\0e\0B\0o\0o\0t\0").unwrap() + 20;
    let mut bent = bytes.clone();
    bent[at] ^= 1;
    let log = EventLog::parse(&bent).unwrap();
    assert_eq!(log.events()[2].data_state(), DataState::Other);
    assert_eq!(log.replay(), EventLog::parse(&bytes).unwrap().replay());
}

#[test]
fn tdx_18_a_log_with_every_event_listed_is_accepted() {
    let mut case = Case::cos(Level::Lab);
    case.policy = AppraisalPolicy::preset(Level::Lab);
    let outcome = case.run();
    assert_eq!(outcome.findings(), []);
    assert_eq!(outcome.verdict(CheckId::Tdx18), Verdict::Pass);
    assert_eq!(outcome.facts().events, Some(43));
}

#[test]
fn tdx_18_without_reference_values_a_replay_is_only_shown() {
    let case = Case { reference: None, policy: AppraisalPolicy::preset(Level::Lab), ..Case::cos(Level::Lab) };
    let outcome = case.run();
    assert_eq!(outcome.verdict(CheckId::Tdx18), Verdict::NotShown);
    assert_eq!(outcome.got(CheckId::Tdx18), "43 events replay; no reference values were given");
    assert_eq!(outcome.facts().events, Some(43));
}

#[test]
fn tdx_18_any_flipped_digest_is_refused() {
    let mut case = Case::cos(Level::Lab);
    case.policy = AppraisalPolicy::preset(Level::Lab);
    let log = cos_log();
    let mismatch = [(CheckId::Tdx18, Code::RtmrReplayMismatch)];
    let count = EventLog::parse(&log).unwrap().events().len();
    let mut at = HEADER_LEN;
    for event in 0..count {
        let digest = at + 14;
        let mut bent = log.clone();
        bent[digest + event] ^= 0x10;
        case.event_log = Some(bent);
        assert_eq!(findings(&case), mismatch, "event {event}");
        let len = u32::from_le_bytes(log[digest + 48..digest + 52].try_into().unwrap());
        at = digest + 52 + len as usize;
    }
    assert!(log[at..].iter().all(|&byte| byte == 0xff));
}

#[test]
fn tdx_18_events_in_another_order_or_missing_are_refused() {
    let mut case = Case::cos(Level::Lab);
    case.policy = AppraisalPolicy::preset(Level::Lab);
    let refused = |case: &Case| findings(case) == [(CheckId::Tdx18, Code::RtmrReplayMismatch)];
    case.event_log = Some(header());
    assert!(refused(&case), "no event");
    // The first event ends at 65 + 14 + 48 + 4 + 42.
    let log = cos_log();
    case.event_log = Some([&header()[..], &log[HEADER_LEN + 108..]].concat());
    assert!(refused(&case), "all but the first event");
    case.event_log = Some(log[..HEADER_LEN + 108].to_vec());
    assert!(refused(&case), "the first event only");
    case.event_log = Some(b"not a log".to_vec());
    assert!(refused(&case), "no log");
    // An event extends another register.
    let mut bent = log;
    bent[HEADER_LEN] = 4;
    case.event_log = Some(bent);
    assert!(refused(&case), "another register");
}

#[test]
fn tdx_18_every_event_that_is_not_fixed_must_be_listed() {
    let quote = trimmed("gotdx_cos-113-tdx-quote.dat");
    let log = cos_log();
    let parsed = EventLog::parse(&log).unwrap();
    let all = digests(&log);
    let mut case = Case { policy: AppraisalPolicy::preset(Level::Lab), ..Case::cos(Level::Lab) };
    for event in parsed.events() {
        let listed: Vec<Hex<48>> = all.iter().copied().filter(|digest| *digest != event.digest()).collect();
        case.reference = Some(reference(&quote, &listed));
        let expected: &[(CheckId, Code)] =
            if event.is_fixed() { &[] } else { &[(CheckId::Tdx18, Code::UnknownEvent)] };
        assert_eq!(findings(&case), expected, "{:?}", event.kind());
    }
    assert!(parsed.events().iter().any(|event| event.is_fixed()));
    case.reference = Some(reference(&quote, &[]));
    assert_eq!(findings(&case), [(CheckId::Tdx18, Code::UnknownEvent)]);
}

#[test]
fn tdx_18_data_that_does_not_hash_to_its_digest_is_refused() {
    let mut case = Case { policy: AppraisalPolicy::preset(Level::Lab), ..Case::cos(Level::Lab) };
    let mut log = cos_log();
    let at = log.windows(20).position(|window| window == *b"S\0e\0c\0u\0r\0e\0B\0o\0o\0t\0").unwrap() + 20;
    log[at] ^= 1;
    case.event_log = Some(log);
    assert_eq!(findings(&case), [(CheckId::Tdx18, Code::UnknownEvent)]);
}

#[test]
fn tdx_18_registers_that_the_image_determines_are_compared() {
    let quote = trimmed("gotdx_cos-113-tdx-quote.dat");
    let [_, rtmr1, rtmr2, _] = rtmr(&quote);
    let mut case = Case { policy: AppraisalPolicy::preset(Level::Lab), ..Case::cos(Level::Lab) };
    let with = |first, second| {
        let mut values = reference(&quote, &digests(&cos_log()));
        let tdx = values.images[0].tdx.take();
        values.images[0].tdx = tdx.map(|tdx| TdxReference { rtmr1: first, rtmr2: second, ..tdx });
        Some(values)
    };
    case.reference = with(Some(rtmr1), Some(rtmr2));
    assert_eq!(findings(&case), []);
    for (first, second) in [(Some(rtmr2), None), (None, Some(rtmr1)), (Some(Hex([0; 48])), Some(rtmr2))] {
        case.reference = with(first, second);
        assert_eq!(findings(&case), [(CheckId::Tdx18, Code::MeasurementMismatch)]);
    }
}

#[test]
fn tdx_18_of_images_with_one_firmware_any_may_be_it_but_never_two_together() {
    let quote = trimmed("gotdx_cos-113-tdx-quote.dat");
    let log = cos_log();
    let all = digests(&log);
    let parsed = EventLog::parse(&log).unwrap();
    let mut needed = parsed.events().iter().filter(|event| !event.is_fixed()).map(|event| event.digest());
    let without = |left_out: Hex<48>| {
        let listed: Vec<Hex<48>> = all.iter().copied().filter(|digest| *digest != left_out).collect();
        reference(&quote, &listed).images.remove(0)
    };
    let (first, last) = (needed.next().unwrap(), needed.next_back().unwrap());
    assert_ne!(first, last);
    let mut whole = reference(&quote, &all).images.remove(0);
    whole.name = "the other image".to_owned();
    let mut of_another_owner = whole.clone();
    of_another_owner.tdx.as_mut().unwrap().mrowner = Hex([1; 48]);

    let mut case = Case { policy: AppraisalPolicy::preset(Level::Lab), ..Case::cos(Level::Lab) };
    let mut with = |images: Vec<ReferenceImage>| {
        case.reference = Some(ReferenceValues { images, foreign_anchors: None });
        case.run()
    };
    let found = with(vec![without(first), whole]);
    assert_eq!((found.findings(), found.facts().image_name.as_str()), (vec![], "the other image"));
    for second in [without(last), of_another_owner] {
        let found = with(vec![without(first), second]);
        assert_eq!(found.findings(), [(CheckId::Tdx18, Code::UnknownEvent)]);
        assert!(found.got(CheckId::Tdx18).contains(&first.to_string()));
    }
}

#[test]
fn tdx_18_without_a_log_no_extended_register_is_accepted_in_a_charter() {
    for level in [Level::Lab, Level::Standard, Level::Strict] {
        for log in [None, Some(vec![])] {
            let case = Case { event_log: log, ..Case::cos(level) };
            assert!(findings(&case).contains(&(CheckId::Tdx18, Code::RtmrReplayMismatch)), "{level:?}");
        }
    }
}

#[test]
fn headers_of_anything_else_are_refused() {
    assert_eq!(EventLog::parse(&header()).map(|log| log.events().len()), Ok(0));
    for (at, what) in [
        (4, "event type"),
        (8, "SHA-1 digest than zero"),
        (27, "SHA-1 digest than zero"),
        (32, "signature"),
        (53, "version than 2.0"),
        (56, "number of digest algorithms than one"),
        (60, "digest algorithm than SHA-384"),
        (62, "digest algorithm than SHA-384"),
        (64, "length"),
    ] {
        let mut bent = header();
        bent[at] ^= 1;
        assert_eq!(EventLog::parse(&bent), Err(EventLogError::Header { what }), "{at}");
    }
    for len in 0..HEADER_LEN {
        assert!(matches!(EventLog::parse(&header()[..len]), Err(EventLogError::Header { .. })), "{len}");
    }
}

#[test]
fn events_of_another_form_are_refused() {
    let log = |event: Vec<u8>| [header(), event].concat();
    let good = event(1, 4, &[7; 48], &[0; 4]);
    assert!(EventLog::parse(&log(good.clone())).is_ok());
    for register in [0, 5, 6, 0x8000_0000] {
        let bytes = log(event(register, 4, &[7; 48], &[]));
        assert_eq!(EventLog::parse(&bytes), Err(EventLogError::Register { event: 0, got: register }));
    }
    for count in [0u32, 2, u32::MAX] {
        let mut bytes = log(good.clone());
        bytes[HEADER_LEN + 8..HEADER_LEN + 12].copy_from_slice(&count.to_le_bytes());
        assert_eq!(EventLog::parse(&bytes), Err(EventLogError::DigestCount { event: 0, got: count }));
    }
    for algorithm in [0x04u16, 0x0b, 0x0d] {
        let mut bytes = log(good.clone());
        bytes[HEADER_LEN + 12..HEADER_LEN + 14].copy_from_slice(&algorithm.to_le_bytes());
        assert_eq!(EventLog::parse(&bytes), Err(EventLogError::Algorithm { event: 0, got: algorithm }));
    }
    for cut in 1..good.len() {
        let result = EventLog::parse(&log(good[..good.len() - cut].to_vec()).clone()).map(|_| ());
        assert!(matches!(result, Err(EventLogError::Truncated { event: 0, .. })), "{cut}: {result:?}");
    }
    let mut long = log(good);
    long[HEADER_LEN + 62..HEADER_LEN + 66].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(EventLog::parse(&long), Err(EventLogError::Truncated { event: 0, what: "its data" }));
}

/// An event of type EV_NO_ACTION says something and extends nothing.
#[test]
fn events_without_action_extend_nothing() {
    let measured = event(4, 6, &[7; 48], b"ours");
    let with = [header(), event(0, 3, &[9; 48], b"StartupLocality\0\x03"), measured.clone()].concat();
    let without = [header(), measured].concat();
    let (with, without) = (EventLog::parse(&with).unwrap(), EventLog::parse(&without).unwrap());
    assert_eq!(with.replay(), without.replay());
    assert_eq!((with.events().len(), with.events()[0].register()), (2, None));
    assert_eq!(with.replay()[..3], [Hex([0; 48]); 3]);
}

#[test]
fn fill_is_of_one_kind_to_the_end() {
    let good = [header(), event(1, 4, &[7; 48], &[0; 4])].concat();
    for fill in [0x00, 0xff] {
        for more in [1, 7, 8, 12, 4_096] {
            let mut area = [&good[..], &vec![fill; more]].concat();
            assert_eq!(EventLog::parse(&area).map(|log| log.events().len()), Ok(1), "{fill} {more}");
            if more > 8 {
                // Something behind the fill that a reader would not look at.
                *area.last_mut().unwrap() = 0x55;
                assert_eq!(EventLog::parse(&area), Err(EventLogError::Fill { event: 1 }), "{fill} {more}");
            }
        }
    }
    let mixed = [&good[..], &[0xff; 16], &[0; 16]].concat();
    assert_eq!(EventLog::parse(&mixed), Err(EventLogError::Fill { event: 1 }));
    let other = [&good[..], &[0x20; 64]].concat();
    assert!(matches!(EventLog::parse(&other), Err(EventLogError::Register { event: 1, .. })));
}

#[test]
fn limits_hold_and_one_more_is_refused() {
    let many = |count: usize| [header(), event(1, 4, &[7; 48], &[]).repeat(count)].concat();
    // Events of 66 bytes, the smallest: the area is full before there are too many.
    let fits = (EVENT_LOG_MAX_BYTES - HEADER_LEN) / 66;
    assert!(fits < EVENTS_MAX);
    assert_eq!(EventLog::parse(&many(fits)).map(|log| log.events().len()), Ok(fits));
    let mut area = many(fits);
    area.resize(EVENT_LOG_MAX_BYTES, 0xff);
    assert!(EventLog::parse(&area).is_ok());
    area.push(0xff);
    let (limit, got) = (EVENT_LOG_MAX_BYTES, EVENT_LOG_MAX_BYTES + 1);
    assert_eq!(EventLog::parse(&area), Err(EventLogError::TooLarge { limit, got }));
}

#[test]
fn the_acpi_table_says_where_the_log_lies() {
    let table = file("gotdx_ccel_table.dat");
    assert_eq!(CcelTable::parse(&table), Ok(CcelTable { len_bytes: 262_144, address: 0xbedb_f000 }));
    let fixed = |at: usize, value: u8| {
        let mut bent = table.clone();
        bent[9] = bent[9].wrapping_add(bent[at]).wrapping_sub(value);
        bent[at] = value;
        CcelTable::parse(&bent)
    };
    for (at, what) in [(0, "signature"), (4, "length"), (8, "revision"), (36, "kind than TDX")] {
        assert_eq!(fixed(at, 0x77), Err(CcelTableError::Field { what }), "{at}");
    }
    assert_eq!(
        fixed(42, 5),
        Err(CcelTableError::Area { limit: EVENT_LOG_MAX_BYTES, got: 5 << 16 }),
        "a larger area"
    );
    for at in 0..table.len() {
        let mut bent = table.clone();
        bent[at] ^= 0x40;
        assert!(CcelTable::parse(&bent).is_err(), "{at}");
        assert_eq!(CcelTable::parse(&table[..at]), Err(CcelTableError::Length { got: at }));
    }
    let long = [&table[..], &[0]].concat();
    assert_eq!(CcelTable::parse(&long), Err(CcelTableError::Length { got: 57 }));
}
