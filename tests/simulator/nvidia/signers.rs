//! The certificate chain of a manifest's signer: signer, layer 3, layer 2, root.

use super::certificate::{
    Attribute, CertificateFields, Extension, Name, SIGNS_CERTIFICATES_AND_LISTS, SIGNS_DATA, TimeForm,
    Validity, midnight,
};
use super::device::ca_serial;
use super::keys::{KeyName, Keyring};
use super::{Architecture, Spelled};

/// Certificates of one chain.
pub const RIM_CERTIFICATES: usize = 4;

/// Signer, two authorities and the root, with names, dates and extensions as in the genuine chains.
pub fn chain(keys: &Keyring, architecture: Architecture) -> Vec<CertificateFields> {
    let product = architecture.product();
    let (l2, l3) = (authority_key(architecture, 2), authority_key(architecture, 3));
    let signer =
        if architecture.is_switch() { "NVIDIA Reference Value L4 LS10" } else { "HCC RIM L4 Signer" };
    let [l3_name, l2_name] =
        [format!("NVIDIA Reference Value L3 {product} 001"), format!("NVIDIA Reference Value {product} CA")]
            .map(|name| authority_name(&name));
    let dates = |not_before, not_after, form| Validity { not_before, not_after, form };
    vec![
        CertificateFields {
            serial: ca_serial(keys, &format!("rim-signer/{product}")),
            issuer: l3_name.clone(),
            subject: Name::new(&[
                (Attribute::Country, "US"),
                (Attribute::State, "CA"),
                (Attribute::Locality, "Santa Clara"),
                (Attribute::Organization, "NVIDIA Corporation"),
                (Attribute::CommonName, signer),
            ]),
            // Two years, as the genuine ones.
            validity: dates(midnight(2026, 1, 12), midnight(2028, 1, 12), TimeForm::ByYear),
            key: signer_key(architecture),
            signer: l3.clone(),
            extensions: vec![
                Extension::SubjectKeyId,
                Extension::AuthorityKeyId(l3.clone()),
                Extension::NotCa,
                SIGNS_DATA,
                Extension::OcspAt,
            ],
        },
        CertificateFields {
            serial: ca_serial(keys, &format!("rim-l3/{product}")),
            issuer: l2_name.clone(),
            subject: l3_name,
            validity: dates(midnight(2025, 10, 31), midnight(2029, 5, 1) - 1, TimeForm::Generalized),
            key: l3,
            signer: l2.clone(),
            extensions: vec![
                Extension::Ca { path_len: Some(0) },
                SIGNS_CERTIFICATES_AND_LISTS,
                Extension::OcspAt,
                Extension::SubjectKeyId,
                Extension::AuthorityKeyId(l2.clone()),
            ],
        },
        CertificateFields {
            serial: ca_serial(keys, &format!("rim-l2/{product}")),
            issuer: root_name(),
            subject: l2_name,
            validity: dates(midnight(2023, 5, 11), midnight(2033, 5, 12) - 1, TimeForm::Generalized),
            key: l2,
            signer: root_key(),
            extensions: vec![
                Extension::Ca { path_len: None },
                SIGNS_CERTIFICATES_AND_LISTS,
                Extension::CrlAt("http://crl.ndis.nvidia.com/crl-corim/l1-corim"),
                Extension::OcspAt,
                Extension::SubjectKeyId,
                Extension::AuthorityKeyId(root_key()),
            ],
        },
        root(keys),
    ]
}

/// The root of all manifests.
pub fn root(keys: &Keyring) -> CertificateFields {
    CertificateFields {
        serial: ca_serial(keys, "rim-root"),
        issuer: root_name(),
        subject: root_name(),
        validity: Validity {
            not_before: midnight(2023, 3, 16),
            not_after: midnight(2053, 3, 8),
            form: TimeForm::ByYear,
        },
        key: root_key(),
        signer: root_key(),
        extensions: vec![
            Extension::SubjectKeyId,
            Extension::AuthorityKeyId(root_key()),
            Extension::Ca { path_len: None },
            SIGNS_CERTIFICATES_AND_LISTS,
        ],
    }
}

fn root_name() -> Name {
    Name::new(&[
        (Attribute::Country, "US"),
        (Attribute::Organization, "NVIDIA"),
        (Attribute::CommonName, "NVIDIA CoRIM signing Root CA"),
    ])
}

fn authority_name(common: &str) -> Name {
    Name::new(&[
        (Attribute::CommonName, common),
        (Attribute::Organization, "NVIDIA Corporation"),
        (Attribute::Country, "US"),
    ])
}

fn root_key() -> KeyName {
    KeyName::new("rim-root")
}

fn authority_key(architecture: Architecture, layer: u8) -> KeyName {
    KeyName::new(format!("rim-l{layer}/{}", architecture.product()))
}

pub(crate) fn signer_key(architecture: Architecture) -> KeyName {
    KeyName::new(format!("rim-signer/{}", architecture.product()))
}
