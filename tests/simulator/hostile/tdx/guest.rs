//! A TD that is not the charter's, or not protected as the charter asks.

use tiltyard_attestation::Hex;

use super::{Base, Draft, TdxVariant};
use crate::hostile::variant;
use crate::intel::Form;

pub(super) const VARIANTS: &[TdxVariant] = &[
    variant!(Base::V4; "tdx-debug" "T10" Lab Tdx13 DebugTd Signed(|draft| attribute(draft, 0));
        "the TD was launched so that the host can read it"),
    variant!(Base::V4; "tdx-profiling" "T10" Lab Tdx13 DebugTd Signed(|draft| attribute(draft, 5));
        "the TD was launched so that the host can profile it"),
    variant!(Base::V5Td15; "tdx-migratable" "T9" Lab Tdx13 TdAttributes Signed(|draft| attribute(draft, 29));
        "the TD was launched so that a migration TD can take it elsewhere"),
    variant!(Base::V4; "td-reserved-bit" "T9" Lab Tdx13 TdAttributes Signed(|draft| attribute(draft, 33));
        "the TD has an attribute that has no meaning yet"),
    variant!(Base::V4; "sept-ve-off" "T9" Standard Tdx14 SeptVe
        Signed(|draft| draft.td.quote.report.td_attributes = 0);
        "the host can inject exceptions by taking pages away"),
    variant!(Base::V4; "td-perfmon" "T10" Standard Tdx14 TdAttributes Signed(|draft| attribute(draft, 63));
        "performance counters run inside the TD"),
    variant!(Base::V5Td15; "td-servtd-ext" "T9" Standard Tdx14 TdAttributes Signed(|draft| attribute(draft, 17));
        "the TD may have service TDs of an extended kind"),
    variant!(Base::V4; "xfam-extra" "T9" Lab Tdx15 Xfam
        Signed(|draft| draft.td.quote.report.xfam |= 1 << 15);
        "the TD uses an extended feature that the charter does not name"),
    variant!(Base::V4; "xfam-without-sse" "T9" Lab Tdx15 Xfam
        Signed(|draft| draft.td.quote.report.xfam &= !0b10);
        "the TD lacks a feature that every TD has"),
    variant!(Base::V5Td15; "servtd-set" "T9" Lab Tdx16 ServiceTd
        Signed(|draft| draft.td.quote.report.mr_servicetd[0] = 1);
        "a service TD is bound, which can act on this one"),
    variant!(Base::V5Td15; "v5-type-4-service-td" "T9" Lab Tdx16 ServiceTd
        Signed(|draft| extended(draft, SERVICE_TD_AT_CREATION));
        "an extended body tells of a service TD that was bound at creation"),
    variant!(Base::V5Td15; "v5-type-4-partition" "T9" Lab Tdx16 ServiceTd
        Signed(|draft| extended(draft, VM_INDEX));
        "an extended body tells that the report is a partition's, not the whole TD's"),
    variant!(Base::V4; "root-file-changed" "L5" Lab Tdx17 MeasurementMismatch [Lab Tdx18 UnknownEvent]
        Signed(|draft| draft.td.quote.report.mrtd[0] ^= 1);
        "another image was launched"),
    variant!(Base::V4; "mrowner-set" "L1" Lab Tdx17 OwnerMismatch
        Signed(|draft| draft.td.quote.report.mrowner[0] = 1);
        "the host names an owner that nobody referenced"),
    variant!(Base::V4; "mrownerconfig-set" "L1" Lab Tdx17 OwnerMismatch
        Signed(|draft| draft.td.quote.report.mrownerconfig[0] = 1);
        "the host gives the owner's configuration that nobody referenced"),
    variant!(Base::V4; "nonce-prefix" "N1" Lab Bnd01 NonceMismatch
        Signed(|draft| draft.runtime.nonce.0[31] ^= 1);
        "the answer to a challenge whose nonce begins alike"),
    variant!(Base::V4; "nonce-envelope-only" "N1" Lab Bnd03 BindingMismatch
        Signed(|draft| draft.report_data = Some(Hex([0; 64])));
        "the nonce stands in the envelope and not in the quote"),
    variant!(Base::V4; "other-charter" "C5" Lab Bnd08 CharterMismatch Signed(other_charter);
        "the TD was launched for another charter"),
    variant!(Base::V4; "extra-field" "L1" Lab Bnd08 ConfigIdMismatch
        Signed(|draft| draft.mrconfigid = Some(Hex([0xaa; 48])));
        "the TD was launched with another configuration than the one that is shown"),
];

fn attribute(draft: &mut Draft, bit: u32) {
    draft.td.quote.report.td_attributes |= 1 << bit;
}

/// A body of type 4 (885 bytes) whose byte `at` is set.
fn extended(draft: &mut Draft, at: usize) {
    draft.td.quote.form = Form::V5Other { kind: 4, size: 885 };
    draft.td.quote.report.patches.push((at, 1));
}

fn other_charter(draft: &mut Draft) {
    let mut config = draft.expected.guest.config.clone();
    config.charter.0[0] ^= 1;
    draft.config = config.to_bytes();
}

/// Offsets within a body of type 4: the partition's number, and the hash of the service TDs at creation.
const VM_INDEX: usize = 648;
const SERVICE_TD_AT_CREATION: usize = 729;
