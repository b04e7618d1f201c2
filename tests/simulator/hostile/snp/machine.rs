//! Another product, old firmware, another chip.

use tiltyard_attestation::Hex;
use tiltyard_attestation::policy::Tcb;

use super::{Base, Draft, SnpVariant};
use crate::hostile::variant;
use crate::report::newest_tcb;

pub(super) const VARIANTS: &[SnpVariant] = &[
    variant!(Base::Milan; "milan-as-genoa" "T4" Lab Snp10 ProductMismatch
        Signed(|draft| draft.report.cpuid = [0x19, 0x11, 1]);
        "with an extracted Milan seed, a report of a Genoa is signed"),
    variant!(Base::Milan; "milan-default" "T4" Standard Snp11 ProductRefused Signed(|_| {});
        "a Milan attests; its key can be extracted in software"),
    variant!(Base::Genoa; "version-2" "T4" Standard Snp11 ProductRefused Signed(|draft| draft.report.version = 2);
        "a report without CPUID, whose product only the certificate names"),
    variant!(Base::Turin; "tcb-report-higher-than-cert" "T1" Lab Snp12 TcbMismatch
        Signed(|draft| draft.report.reported_tcb.snp += 1);
        "firmware reports a higher version than its key is derived from"),
    variant!(Base::Turin; "committed-low" "T1" Lab Snp13 TcbTooOld [Strict Snp14 TcbProvisional]
        Signed(|draft| draft.report.committed_tcb.snp -= 1);
        "firmware was updated and not committed: the host can roll it back"),
    variant!(Base::Turin; "launch-low" "T1" Lab Snp13 TcbTooOld
        Signed(|draft| draft.report.launch_tcb.snp -= 1);
        "the guest was launched by older firmware"),
    variant!(Base::Turin; "ucode-low" "T5" Lab Snp13 TcbTooOld Signed(|draft| old(draft, |tcb| tcb.microcode -= 1));
        "a genuine machine with old microcode everywhere"),
    variant!(Base::Turin; "fmc-low" "T5" Lab Snp13 TcbTooOld Signed(|draft| old(draft, |tcb| tcb.fmc -= 1));
        "a genuine Turin with an old first component"),
    variant!(Base::Turin; "provisional" "T1" Strict Snp14 TcbProvisional
        Signed(|draft| draft.report.current_tcb.snp += 1);
        "newer firmware runs than is committed"),
    variant!(Base::Turin; "chip-other" "C1" Lab Snp15 ChipIdMismatch [Lab Snp17 UnknownChip]
        Signed(|draft| draft.report.chip_id[0] ^= 1);
        "the report names another chip than the key's certificate"),
    variant!(Base::Turin; "chip-id-zero" "T11" Lab Snp16 ChipIdMasked [Lab Snp17 UnknownChip]
        Signed(|draft| draft.report.chip_id = [0; 64]);
        "the host masks the chip's id"),
    variant!(Base::Turin; "chip-key-masked" "T11" Lab Snp16 ChipIdMasked
        Signed(|draft| draft.report.key_info |= 1 << 1);
        "the host says that the chip's key is masked, though the id stands there"),
    variant!(Base::Turin; "relay-unlisted-chip" "C1" Lab Snp17 UnknownChip Signed(unlisted);
        "a genuine machine of the adversary's answers, which is not enrolled"),
    variant!(Base::Turin; "platform-revoked" "T8" Lab Snp17 PlatformRevoked Signed(revoked);
        "the machine was taken off the list an hour ago"),
    variant!(Base::Turin; "alias-check-clear" "T6" Standard Snp20 PlatformInfo
        Signed(|draft| draft.report.platform_info &= !(1 << 5));
        "firmware did not look for memory that answers at two addresses"),
    variant!(Base::Turin; "mitigation-off" "T5" Lab Snp24 MitigationMissing Signed(mitigation_off);
        "a mitigation that the policy names was off at launch"),
    variant!(Base::Genoa; "mitigation-not-told" "T5" Lab Snp24 MitigationMissing
        Signed(|draft| draft.expected.mitigations = 1);
        "a report before version 5, which tells no mitigations, under a policy that names one"),
];

fn old(draft: &mut Draft, edit: fn(&mut Tcb)) {
    let mut tcb = newest_tcb(draft.product);
    edit(&mut tcb);
    let report = &mut draft.report;
    for shown in
        [&mut report.current_tcb, &mut report.committed_tcb, &mut report.reported_tcb, &mut report.launch_tcb]
    {
        *shown = tcb;
    }
    draft.certificates.vcek.spl = tcb;
}

fn unlisted(draft: &mut Draft) {
    draft.expected.platforms.iter_mut().for_each(|row| row.id = Hex([1; 64]).into());
}

fn revoked(draft: &mut Draft) {
    let an_hour_ago = draft.expected.now - 3_600;
    draft.expected.platforms.iter_mut().for_each(|row| row.revoked_at = Some(an_hour_ago));
}

fn mitigation_off(draft: &mut Draft) {
    draft.expected.mitigations = 0b11;
    draft.report.launch_mitigations = 0b01;
}
