//! A guest that is not the charter's, or not protected as the charter asks.

use super::{Base, CIPHERTEXT_HIDING, Draft, PAGE_SWAP_DISABLE, RESERVED_ONE, SnpVariant};
use crate::hostile::variant;

pub(super) const VARIANTS: &[SnpVariant] = &[
    variant!(Base::Turin; "snp-debug" "T10" Lab Snp18 PolicyDebug
        Signed(|draft| draft.report.policy |= 1 << 19);
        "the guest was launched so that the host can read it"),
    variant!(Base::Turin; "snp-migratable" "T10" Lab Snp18 PolicyMigration
        Signed(|draft| draft.report.policy |= 1 << 18);
        "the guest was launched so that a migration agent can take it elsewhere"),
    variant!(Base::Turin; "migration-agent" "T10" Lab Snp18 PolicyMigration
        Signed(|draft| draft.report.report_id_ma = [0; 32]);
        "a migration agent is bound to the guest"),
    variant!(Base::Turin; "policy-bit-17" "T10" Lab Snp18 PolicyMismatch
        Signed(|draft| draft.report.policy &= !RESERVED_ONE);
        "the guest policy lacks the bit that is always one"),
    variant!(Base::Turin; "no-ciphertext-hiding" "T7" Strict Snp19 PolicyMismatch
        Signed(|draft| draft.report.policy &= !CIPHERTEXT_HIDING);
        "the host sees the guest's ciphertext"),
    variant!(Base::Turin; "page-swap" "T7" Strict Snp19 PolicyMismatch
        Signed(|draft| draft.report.policy &= !PAGE_SWAP_DISABLE);
        "the host may move the guest's pages"),
    variant!(Base::Turin; "smt-on-under-strict" "T5" Strict Snp19 PolicyMismatch
        Signed(|draft| draft.report.policy |= 1 << 16);
        "the guest may share a core with the host's threads"),
    variant!(Base::Turin; "vmpl-1" "T11" Lab Snp21 VmplMismatch Signed(|draft| draft.report.vmpl = 1);
        "less privileged software than the measured program asks for the report"),
    variant!(Base::Turin; "root-file-changed" "L5" Lab Snp22 MeasurementMismatch
        Signed(|draft| draft.report.measurement[47] ^= 1);
        "another image was launched"),
    variant!(Base::Turin; "measurement-of-another-image" "L5" Lab Snp22 MeasurementMismatch
        Signed(other_image);
        "the measurement is listed, for another image than the launch configuration's"),
    variant!(Base::Turin; "id-block" "L9" Lab Snp23 IdKeyMismatch
        Signed(|draft| draft.report.id_key_digest[0] = 1);
        "the host launches with an identity block that nobody referenced"),
    variant!(Base::Turin; "author-key" "L9" Lab Snp23 IdKeyMismatch
        Signed(|draft| draft.report.author_key_digest[0] = 1);
        "the host launches with an author key that nobody referenced"),
    variant!(Base::Turin; "image-id" "L9" Lab Snp23 ImageIdMismatch
        Signed(|draft| draft.report.image_id[15] = 1);
        "the host gives the image an id that nobody referenced"),
    variant!(Base::Turin; "guest-svn-low" "L9" Lab Snp23 SvnTooLow Signed(svn_low);
        "an old release of the guest, under a charter that asks for a newer one"),
];

fn other_image(draft: &mut Draft) {
    draft.expected.reference.images.iter_mut().for_each(|row| row.image.0[0] ^= 1);
}

fn svn_low(draft: &mut Draft) {
    draft.report.guest_svn = 2;
    draft.expected.tee.snp.iter_mut().for_each(|row| row.guest_svn = 3);
}
