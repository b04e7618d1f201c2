//! The events themselves: one header event in the old form, then crypto-agile events with one SHA-384 digest each.

use ring::digest::{Context, SHA384};

use super::data::{self, DataState};
use crate::Hex;
use crate::cursor::Cursor;

/// Largest area of a log, in bytes.
pub const EVENT_LOG_MAX_BYTES: usize = 256 * 1024;
/// Most events of a log.
pub const EVENTS_MAX: usize = 4096;
/// Run-time measurement registers of a TD.
pub const RTMRS: usize = 4;

const ALGORITHM_SHA384: u16 = 0x000c;
const DIGEST_LEN: u16 = 48;
const HEADER_SIGNATURE: &[u8; 16] = b"Spec ID Event03\0";
/// Specification 2.0, family of the crypto-agile form: minor, major.
const HEADER_VERSION: [u8; 2] = [0, 2];
/// What firmware leaves where it has written no event.
const FILL: [u8; 2] = [0xff, 0x00];

/// A type of event (TCG PC Client Platform Firmware Profile 1.06, table 27).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(pub u32);

impl EventType {
    /// Not extended into any register.
    pub const NO_ACTION: Self = Self(0x0000_0003);
    pub const SEPARATOR: Self = Self(0x0000_0004);
    pub const ACTION: Self = Self(0x0000_0005);
    pub const S_CRTM_VERSION: Self = Self(0x0000_0008);
    pub const EFI_VARIABLE_DRIVER_CONFIG: Self = Self(0x8000_0001);
    pub const EFI_VARIABLE_BOOT: Self = Self(0x8000_0002);
    pub const EFI_GPT_EVENT: Self = Self(0x8000_0006);
    pub const EFI_ACTION: Self = Self(0x8000_0007);
    pub const EFI_VARIABLE_BOOT2: Self = Self(0x8000_000c);
    pub const EFI_GPT_EVENT2: Self = Self(0x8000_000d);
    pub const EFI_VARIABLE_AUTHORITY: Self = Self(0x8000_00e0);
}

/// One event of the log; nothing in it is believed before its register equals the quote's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// 0 to 3; none for an event that is not extended.
    register: Option<usize>,
    kind: EventType,
    digest: Hex<48>,
    data: &'a [u8],
}

/// A log whose form is sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLog<'a> {
    events: Vec<Event<'a>>,
}

/// Why bytes are no event log of a TD. Events count from 0, the header not counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventLogError {
    #[error("expected at most {limit} bytes, found {got}")]
    TooLarge { limit: usize, got: usize },
    #[error("expected at most {limit} events, found more")]
    TooMany { limit: usize },
    #[error("expected a TCG specification header, found another {what}")]
    Header { what: &'static str },
    #[error("event {event}: expected {what}, found the end of the log")]
    Truncated { event: usize, what: &'static str },
    #[error("event {event}: expected measurement register 1 to 4, found {got}")]
    Register { event: usize, got: u32 },
    #[error("event {event}: expected one digest, found {got}")]
    DigestCount { event: usize, got: u32 },
    #[error("event {event}: expected a SHA-384 digest (0xc), found algorithm {got:#x}")]
    Algorithm { event: usize, got: u16 },
    /// After the last event every byte must be 0xff, or every byte zero.
    #[error("expected nothing but fill after event {event}, found another byte")]
    Fill { event: usize },
}

impl<'a> EventLog<'a> {
    /// Reads the whole area: events, then fill of one kind to its end.
    pub fn parse(area: &'a [u8]) -> Result<Self, EventLogError> {
        if area.len() > EVENT_LOG_MAX_BYTES {
            return Err(EventLogError::TooLarge { limit: EVENT_LOG_MAX_BYTES, got: area.len() });
        }
        let mut cursor = Cursor::new(area);
        header(&mut cursor)?;
        let mut events = Vec::new();
        while !ends(&cursor, events.len())? {
            if events.len() == EVENTS_MAX {
                return Err(EventLogError::TooMany { limit: EVENTS_MAX });
            }
            let event = event(&mut cursor, events.len())?;
            events.push(event);
        }
        Ok(Self { events })
    }

    pub fn events(&self) -> &[Event<'a>] {
        &self.events
    }

    /// RTMR0..3 after all events: from zero, r' = SHA-384(r, digest).
    pub fn replay(&self) -> [Hex<48>; RTMRS] {
        let mut registers = [Hex([0; 48]); RTMRS];
        for event in &self.events {
            let Some(register) = event.register.and_then(|at| registers.get_mut(at)) else { continue };
            let mut context = Context::new(&SHA384);
            context.update(register.bytes());
            context.update(event.digest.bytes());
            register.0.copy_from_slice(context.finish().as_ref());
        }
        registers
    }
}

impl<'a> Event<'a> {
    /// Register that the digest was extended into, 0 to 3; none for an event that extends nothing.
    pub fn register(&self) -> Option<usize> {
        self.register
    }

    pub fn kind(&self) -> EventType {
        self.kind
    }

    pub fn digest(&self) -> Hex<48> {
        self.digest
    }

    /// As logged; whether it is what was measured, [`Event::data_state`] tells.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Whether the logged data is what the digest measures, where the type defines it.
    pub fn data_state(&self) -> DataState {
        data::state(self.kind, self.data, self.digest)
    }

    /// Whether the specification fixes all that this event can say: a separator without error, or an action by
    /// one of the specified texts. Such an event is the same on every machine.
    pub fn is_fixed(&self) -> bool {
        data::is_fixed(self.kind, self.data) && self.data_state() == DataState::Measured
    }
}

/// TCG_PCClientPCREvent with a TCG_EfiSpecIdEvent: names the one algorithm of all that follows.
fn header(cursor: &mut Cursor<'_>) -> Result<(), EventLogError> {
    let other = |what| EventLogError::Header { what };
    // The register is the firmware's choice: nothing is extended.
    cursor.u32().ok_or(other("length"))?;
    if cursor.u32() != Some(EventType::NO_ACTION.0) {
        return Err(other("event type"));
    }
    if cursor.array::<20>() != Some(&[0; 20]) {
        return Err(other("SHA-1 digest than zero"));
    }
    let len = cursor.u32().ok_or(other("length"))?;
    let mut inner = Cursor::new(cursor.take(len as usize).ok_or(other("length"))?);
    if inner.array() != Some(HEADER_SIGNATURE) {
        return Err(other("signature"));
    }
    let _platform_class = inner.u32().ok_or(other("length"))?;
    if inner.array() != Some(&HEADER_VERSION) {
        return Err(other("version than 2.0"));
    }
    let _errata_and_uintn = inner.array::<2>().ok_or(other("length"))?;
    if inner.u32() != Some(1) {
        return Err(other("number of digest algorithms than one"));
    }
    if (inner.u16(), inner.u16()) != (Some(ALGORITHM_SHA384), Some(DIGEST_LEN)) {
        return Err(other("digest algorithm than SHA-384"));
    }
    let vendor_len = inner.u8().ok_or(other("length"))?;
    let vendor = inner.take(vendor_len.into()).ok_or(other("length"))?;
    if vendor.len() == usize::from(vendor_len) && inner.rest().is_empty() {
        Ok(())
    } else {
        Err(other("length"))
    }
}

/// Whether the events end here: nothing is left, or nothing but fill.
///
/// No event begins like fill: there is no register 0xffffffff, and none of register 0 with type 0.
fn ends(cursor: &Cursor<'_>, event: usize) -> Result<bool, EventLogError> {
    /// Register and type of an event.
    const PREFIX_LEN: usize = 8;
    let rest = cursor.rest();
    let prefix = rest.get(..PREFIX_LEN).unwrap_or(rest);
    let Some(fill) = FILL.into_iter().find(|fill| prefix.iter().all(|byte| byte == fill)) else {
        return Ok(false);
    };
    if rest.iter().all(|&byte| byte == fill) { Ok(true) } else { Err(EventLogError::Fill { event }) }
}

/// TCG_PCR_EVENT2: register, type, digests, data.
fn event<'a>(cursor: &mut Cursor<'a>, event: usize) -> Result<Event<'a>, EventLogError> {
    let truncated = |what| EventLogError::Truncated { event, what };
    let index = cursor.u32().ok_or(truncated("a register"))?;
    let kind = EventType(cursor.u32().ok_or(truncated("a type"))?);
    let register = match (kind, index) {
        (EventType::NO_ACTION, _) => None,
        // MRTD is 0 here, and no event extends it.
        (_, 1..=4) => Some(index as usize - 1),
        (_, got) => return Err(EventLogError::Register { event, got }),
    };
    let count = cursor.u32().ok_or(truncated("a number of digests"))?;
    if count != 1 {
        return Err(EventLogError::DigestCount { event, got: count });
    }
    let algorithm = cursor.u16().ok_or(truncated("an algorithm"))?;
    if algorithm != ALGORITHM_SHA384 {
        return Err(EventLogError::Algorithm { event, got: algorithm });
    }
    let digest = Hex(*cursor.array().ok_or(truncated("a digest"))?);
    let len = cursor.u32().ok_or(truncated("a length"))?;
    let data = cursor.take(len as usize).ok_or(truncated("its data"))?;
    Ok(Event { register, kind, digest, data })
}
