//! Event logs that do not explain the registers, and boots that the image does not have.

use tiltyard_attestation::evidence::CpuEvidence;

use super::{Base, Draft, TdxVariant};
use crate::hostile::{Set, variant};
use crate::intel::event_log::{EVENT_TAG, Event, PLATFORM_CONFIG_FLAGS, VARIABLE_DRIVER_CONFIG};

pub(super) const VARIANTS: &[TdxVariant] = &[
    variant!(Base::V4; "ccel-flip" "L6" Lab Tdx18 RtmrReplayMismatch Signed(flip);
        "one bit of a digest in the log is flipped"),
    variant!(Base::V4; "ccel-extra-event" "L6" Lab Tdx18 RtmrReplayMismatch Signed(extra_in_the_log);
        "an event stands in the log that was not measured"),
    variant!(Base::V4; "ccel-event-dropped" "L6" Lab Tdx18 RtmrReplayMismatch Signed(dropped);
        "an event that was measured does not stand in the log"),
    variant!(Base::V4; "ccel-other-register" "L6" Lab Tdx18 RtmrReplayMismatch Signed(other_register);
        "an event stands in the log under another register"),
    variant!(Base::V4; "ccel-absent" "L6" Lab Tdx18 RtmrReplayMismatch Sent(|set| log(set).clear());
        "no log is given"),
    variant!(Base::V4; "ccel-cut" "L6" Lab Tdx18 RtmrReplayMismatch Sent(|set| log(set).truncate(200));
        "the log ends within an event"),
    variant!(Base::V4; "ccel-data-changed" "L6" Lab Tdx18 UnknownEvent Signed(data_changed);
        "the log says that secure boot was on when its digest says it was off"),
    variant!(Base::V4; "acpi-extra-device" "L3" Lab Tdx18 UnknownEvent Signed(extra_and_measured);
        "the host gives tables with one more device, and firmware measures them"),
    variant!(Base::V4; "cmdline-init-sh" "L2" Lab Tdx18 UnknownEvent Signed(other_command_line);
        "the host changes the kernel's command line, and firmware measures it"),
    variant!(Base::V4; "events-in-another-order" "L6" Lab Tdx18 MeasurementMismatch Signed(swapped);
        "the right events happened in another order"),
];

/// The registers stay those of an honest boot.
fn registers_stay(draft: &mut Draft) {
    draft.td.rtmr = Some(draft.td.log.replay());
}

fn flip(draft: &mut Draft) {
    registers_stay(draft);
    draft.td.log.events.iter_mut().take(1).for_each(|event| event.digest[0] ^= 1);
}

fn extra_in_the_log(draft: &mut Draft) {
    registers_stay(draft);
    let known = draft.td.log.events.first().cloned();
    draft.td.log.events.extend(known);
}

fn dropped(draft: &mut Draft) {
    registers_stay(draft);
    draft.td.log.events.pop();
}

fn other_register(draft: &mut Draft) {
    registers_stay(draft);
    draft.td.log.events.iter_mut().take(1).for_each(|event| event.register = 2);
}

fn data_changed(draft: &mut Draft) {
    let variables = draft.td.log.events.iter_mut().filter(|event| event.kind == VARIABLE_DRIVER_CONFIG);
    variables.take(1).filter_map(|event| event.data.last_mut()).for_each(|byte| *byte ^= 1);
}

fn extra_and_measured(draft: &mut Draft) {
    let tables = Event::of(1, PLATFORM_CONFIG_FLAGS, b"tables with a device", b"ACPI DATA");
    draft.td.log.events.push(tables);
}

fn other_command_line(draft: &mut Draft) {
    let lines = draft.td.log.events.iter_mut().filter(|event| event.kind == EVENT_TAG && event.register == 3);
    lines.take(1).for_each(|event| *event = Event::of(3, EVENT_TAG, b"init=/bin/sh", &event.data));
}

fn swapped(draft: &mut Draft) {
    let events = &mut draft.td.log.events;
    let of_register_2: Vec<usize> =
        events.iter().enumerate().filter(|(_, event)| event.register == 3).map(|(at, _)| at).collect();
    if let [first, second, ..] = of_register_2[..] {
        events.swap(first, second);
    }
}

/// The log's bytes; those of a report where there is none.
fn log(set: &mut Set) -> &mut Vec<u8> {
    match &mut set.evidence.cpu {
        CpuEvidence::Tdx { event_log, .. } => &mut event_log.0,
        CpuEvidence::Snp { report, .. } => &mut report.0,
    }
}
