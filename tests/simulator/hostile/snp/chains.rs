//! Certificates that vouch for nothing, and revocation.

use tiltyard_attestation::evidence::CpuEvidence;
use tiltyard_attestation::result::SigningKey;

use super::{Base, Draft, SnpVariant};
use crate::certificates::Constraints;
use crate::hostile::{DAY_S, variant};
use crate::keys::Authority;

pub(super) const VARIANTS: &[SnpVariant] = &[
    variant!(Base::Turin; "other-root" "S1" Lab Snp06 UntrustedRoot Signed(other_root);
        "the whole chain is made again under a root of another name"),
    variant!(Base::Turin; "ask-other-issuer" "T1" Lab Snp06 IssuerMismatch
        Signed(|draft| draft.certificates.ask.issuer = "ARK-Genoa".to_owned());
        "the ASK names another product's root than the one that signed it"),
    variant!(Base::Turin; "ask-not-ca" "T1" Lab Snp06 IssuerNotCa
        Signed(|draft| draft.certificates.ask.constraints = Constraints::NotCa);
        "the certificate above the VCEK has no CA flag"),
    variant!(Base::Turin; "vcek-not-issued" "T1" Lab Snp06 CertSignature
        Signed(|draft| draft.certificates.vcek.signer = Authority::Asvk);
        "a VCEK certificate in the ASK's name that the ASK did not sign"),
    variant!(Base::Turin; "chain-cut" "T1" Lab Snp06 ChainShape Sent(|set| certificates(set).truncate(1));
        "only the VCEK certificate is sent"),
    variant!(Base::Turin; "certificate-garbled" "T1" Lab Snp06 CertFormat
        Sent(|set| certificates(set).iter_mut().take(1).for_each(|row| row.0.push(0)));
        "one byte is added behind the VCEK certificate"),
    variant!(Base::Turin; "vek-of-chip-and-provider" "T11" Lab Snp06 CertFormat
        Signed(|draft| draft.certificates.vcek.csp_id = crate::certificates::PROVIDER.to_owned());
        "one certificate names a chip and a provider"),
    variant!(Base::Turin; "clock-plus-1y" "ST8" Lab Snp07 CertExpired
        Signed(|draft| draft.certificates.vcek.validity.not_after = draft.expected.now - 1);
        "the VCEK certificate ended a second ago"),
    variant!(Base::Turin; "clock-minus-1y" "ST8" Lab Snp07 CertNotYetValid
        Signed(|draft| draft.certificates.ask.validity.not_before = draft.expected.now + 1);
        "the ASK's certificate begins in a second"),
    variant!(Base::Turin; "ask-revoked" "T4" Lab Snp08 CertRevoked
        Signed(|draft| draft.certificates.crl.revoked = vec![draft.certificates.ask.serial]);
        "AMD revoked the ASK, and the list says so"),
    variant!(Base::Turin; "crl-expired" "I7" Standard Snp08 RevocationUnknown
        Signed(|draft| draft.certificates.crl.next_update = draft.expected.now - 1);
        "an old list is replayed, past its next update"),
    variant!(Base::Turin; "crl-not-signed" "I7" Standard Snp08 RevocationUnknown
        Signed(|draft| draft.certificates.crl.signer = Authority::Ask);
        "a list in the root's name that the root did not sign"),
    variant!(Base::Turin; "crl-withheld" "I7" Standard Snp08 RevocationUnknown
        Sent(|set| set.collateral.snp_crls.clear());
        "no list is given"),
    variant!(Base::Turin; "air-gap-31-days" "I7" Standard Col03 CollateralStale
        Signed(|draft| draft.certificates.crl.this_update = draft.expected.now - 31 * DAY_S);
        "the newest list at hand is a month old, and still in its time"),
    variant!(Base::Turin; "no-signing-key" "T11" Lab Snp09 SigningKey
        Signed(|draft| draft.report.key_info = 7 << 2);
        "firmware says that no key signs"),
    variant!(Base::Turin; "vlek" "T11" Standard Snp09 SigningKey [Lab Snp16 ChipIdMasked, Lab Snp17 UnknownChip]
        Signed(vlek);
        "the provider loaded its own key: the report names no chip"),
    variant!(Base::Turin; "vlek-as-vcek" "T11" Lab Snp09 SigningKey
        Signed(|draft| draft.endorsement = SigningKey::Vlek);
        "a VLEK signs a report that says a VCEK does, with an enrolled chip's id"),
];

fn other_root(draft: &mut Draft) {
    let fields = &mut draft.certificates;
    for name in
        [&mut fields.ark.subject, &mut fields.ark.issuer, &mut fields.ask.issuer, &mut fields.crl.issuer]
    {
        *name = "ARK-Other".to_owned();
    }
}

fn vlek(draft: &mut Draft) {
    draft.endorsement = SigningKey::Vlek;
    draft.report.key_info = 1 << 2;
    draft.report.chip_id = [0; 64];
}

/// The certificates beside the report; none where there is no report.
fn certificates(set: &mut crate::hostile::Set) -> &mut Vec<tiltyard_attestation::Base64Bytes> {
    match &mut set.evidence.cpu {
        CpuEvidence::Snp { certificates, .. } => certificates,
        CpuEvidence::Tdx { .. } => &mut set.collateral.snp_crls,
    }
}
