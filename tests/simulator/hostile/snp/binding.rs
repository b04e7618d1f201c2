//! Genuine evidence of somebody or something else.

use tiltyard_attestation::Hex;

use super::{Base, Draft, SnpVariant};
use crate::hostile::variant;

pub(super) const VARIANTS: &[SnpVariant] = &[
    variant!(Base::Turin; "nonce-prefix" "N1" Lab Bnd01 NonceMismatch
        Signed(|draft| draft.runtime.nonce.0[31] ^= 1);
        "the answer to a challenge whose nonce begins alike"),
    variant!(Base::Turin; "nonce-expired" "N2" Lab Bnd02 NonceExpired
        Signed(|draft| draft.expected.issued_at -= 60);
        "the answer comes a minute late"),
    variant!(Base::Turin; "nonce-envelope-only" "N1" Lab Bnd03 BindingMismatch
        Signed(|draft| draft.report_data = Some(Hex([0; 64])));
        "the nonce stands in the envelope and not in the report"),
    variant!(Base::Turin; "other-key" "C2" Lab Bnd07 KeyMismatch
        Signed(|draft| draft.runtime.profile.keys.hpke.0[0] ^= 1);
        "the report covers other keys than those that are presented"),
    variant!(Base::Turin; "other-role" "C5" Lab Bnd07 RoleMismatch
        Signed(|draft| draft.runtime.profile.role = tiltyard_attestation::Role::Trainer);
        "a trainer answers the referee's challenge"),
    variant!(Base::Turin; "other-charter" "C5" Lab Bnd08 CharterMismatch Signed(other_charter);
        "the guest was launched for another charter"),
    variant!(Base::Turin; "extra-field" "L1" Lab Bnd08 HostDataMismatch
        Signed(|draft| draft.host_data = Some(Hex([0xaa; 32])));
        "the guest was launched with another configuration than the one that is shown"),
];

fn other_charter(draft: &mut Draft) {
    let mut config = draft.expected.guest.config.clone();
    config.charter.0[0] ^= 1;
    draft.config = config.to_bytes();
}
