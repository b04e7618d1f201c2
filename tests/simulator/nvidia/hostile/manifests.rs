//! Manifests that are edited, signed by others, out of date, for something else or shaped to be read two ways.

use tiltyard_attestation::{CheckId, Code};

use super::devices::under_other_keys;
use super::{Variant, first};
use crate::nvidia::certificate::midnight;
use crate::nvidia::draft::Draft;
use crate::nvidia::keys::KeyName;
use crate::nvidia::manifest::{C14N_11, RimFields};
use crate::nvidia::measurements::Source;
use crate::nvidia::sets::NOW;

/// An index that the driver's manifest has active, and one that the VBIOS's has.
const DRIVER_INDEX: u8 = 37;
const VBIOS_INDEX: u8 = 9;

/// A manifest that can't be read is of no known version either.
const UNREAD: &[(CheckId, Code)] = &[(CheckId::Gpu09, Code::RimVersionMismatch)];

pub(super) const VARIANTS: &[Variant] = &[
    Variant::signed("rim-forged", CheckId::Rim03, Code::RimSignature, |draft| {
        let rim = rim(draft, Source::Driver);
        // As a driver would need that measures something else.
        if let Some(resource) = rim.resource_mut(DRIVER_INDEX) {
            resource.hashes.push("5a".repeat(48));
        }
        rim.signature.signer = KeyName::new("adversary/rim");
    })
    .by("G6", "a value is added and the document signed by the adversary's key, beside the genuine chain"),
    Variant::signed("rim-digest", CheckId::Rim03, Code::RimDigestMismatch, |draft| {
        rim(draft, Source::Driver).edits = vec![("revision=\"r1\"".to_owned(), "revision=\"r2\"".to_owned())];
    })
    .by("G6", "one character is changed after the document was signed"),
    Variant::signed("rim-expired", CheckId::Rim04, Code::CertExpired, |draft| {
        let signer = &mut rim(draft, Source::Driver).chain[0];
        signer.validity.not_before = midnight(2023, 6, 23);
        signer.validity.not_after = midnight(2025, 6, 22);
    })
    .by("G6", "a genuine manifest whose signer's certificate has ended"),
    Variant::signed("rim-not-yet-valid", CheckId::Rim04, Code::CertNotYetValid, |draft| {
        rim(draft, Source::Vbios).chain[0].validity.not_before = NOW + 86_400;
    })
    .by("G6", "the signer's certificate begins tomorrow"),
    Variant::signed("rim-wrong-root", CheckId::Rim04, Code::RimCertChain, |draft| {
        let rim = rim(draft, Source::Driver);
        under_other_keys(&mut rim.chain);
        rim.signature.signer = rim.chain[0].key.clone();
    })
    .by("G6", "the chain is made again, with NVIDIA's names, under the adversary's own root"),
    Variant::signed("rim-chain-order", CheckId::Rim04, Code::RimCertChain, |draft| {
        rim(draft, Source::Driver).chain.swap(1, 2);
    })
    .by("G6", "two authorities of the chain change places"),
    Variant::signed("rim-version", CheckId::Gpu09, Code::RimVersionMismatch, |draft| {
        rim(draft, Source::Driver).version = "550.54.15".to_owned();
    })
    .by("G6", "a genuine manifest of another driver version"),
    Variant::signed("rim-version-vbios", CheckId::Gpu09, Code::RimVersionMismatch, |draft| {
        rim(draft, Source::Vbios).version = "96.00.5E.00.01".to_owned();
    })
    .by("G6", "a genuine manifest of another VBIOS version"),
    Variant::signed("rim-product", CheckId::Gpu09, Code::RimVersionMismatch, |draft| {
        rim(draft, Source::Driver).product = "GB100".to_owned();
    })
    .by("G6", "a genuine manifest of the same driver version for another chip"),
    Variant::signed("rim-missing-driver", CheckId::Gpu09, Code::RimMissing, |draft| {
        draft.rims.remove(0);
    })
    .by("G6", "the driver's manifest is withheld"),
    Variant::signed("rim-missing-vbios", CheckId::Gpu09, Code::RimMissing, |draft| {
        draft.rims.remove(1);
    })
    .by("G6", "the VBIOS's manifest is withheld"),
    Variant::signed("rim-index-conflict", CheckId::Gpu10, Code::RimIndexConflict, index_conflict)
        .by("G6", "the driver's manifest claims an index of the VBIOS's, with the value that the GPU shows"),
    Variant::signed("rim-all-inactive", CheckId::Gpu12, Code::MeasurementsMissing, |draft| {
        for rim in &mut draft.rims {
            rim.resources.iter_mut().for_each(|resource| resource.active = false);
        }
    })
    .by("G6", "genuine signatures under manifests that expect nothing"),
    Variant::signed("rim-duplicate-index", CheckId::Rim01, Code::DuplicateRimIndex, |draft| {
        if let Some(last) = rim(draft, Source::Driver).resources.last_mut() {
            last.index = DRIVER_INDEX.to_string();
        }
    })
    .with(UNREAD)
    .by("G6", "one index stands twice: active with the right value, inactive with another"),
    Variant::signed("rim-alternatives", CheckId::Rim01, Code::RimFormat, |draft| {
        if let Some(resource) = rim(draft, Source::Driver).resource_mut(DRIVER_INDEX) {
            resource.alternatives = Some(2);
        }
    })
    .with(UNREAD)
    .by("G6", "an index names more alternatives than it has"),
    Variant::signed("rim-dtd", CheckId::Rim01, Code::RimFormat, |draft| {
        let open = "<SoftwareIdentity ".to_owned();
        rim(draft, Source::Driver).edits = vec![(open.clone(), format!("<!DOCTYPE SoftwareIdentity>{open}"))];
    })
    .with(UNREAD)
    .by("I1", "a document type stands before the root; canonical XML leaves it out of the digest"),
    Variant::signed("rim-two-signatures", CheckId::Rim02, Code::RimFormat, |draft| {
        let end = "</ds:Signature>".to_owned();
        let second = format!("{end}<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">{end}");
        rim(draft, Source::Driver).edits = vec![(end, second)];
    })
    .by("G6", "a second, empty signature follows the genuine one"),
    Variant::signed("rim-signature-wrapped", CheckId::Rim02, Code::RimFormat, |draft| {
        let (open, end) = ("<ds:Signature ".to_owned(), "</ds:Signature>".to_owned());
        rim(draft, Source::Driver).edits =
            vec![(open.clone(), format!("<ns0:Link>{open}")), (end.clone(), format!("{end}</ns0:Link>"))];
    })
    .by("G6", "the signature stands in another element instead of under the root"),
    Variant::signed("rim-two-references", CheckId::Rim02, Code::RimFormat, |draft| {
        rim(draft, Source::Driver).signature.references = vec!["", ""];
    })
    .by("G6", "a genuine key signs two references: a reader may take either"),
    Variant::signed("rim-reference-uri", CheckId::Rim02, Code::RimFormat, |draft| {
        rim(draft, Source::Driver).signature.references = vec!["#payload"];
    })
    .by("G6", "a genuine key signs a part of the document only"),
    Variant::signed("rim-algorithm-digest", CheckId::Rim02, Code::RimAlgorithm, |draft| {
        rim(draft, Source::Driver).signature.digest = "http://www.w3.org/2000/09/xmldsig#sha1";
    })
    .by("G6", "the digest is said to be SHA-1"),
    Variant::signed("rim-algorithm-c14n", CheckId::Rim02, Code::RimAlgorithm, |draft| {
        rim(draft, Source::Driver).signature.canonicalization = "http://www.w3.org/2001/10/xml-exc-c14n#";
    })
    .by("G6", "SignedInfo is said to be in exclusive canonical form"),
    Variant::signed("rim-transforms", CheckId::Rim02, Code::RimFormat, |draft| {
        rim(draft, Source::Driver).signature.transforms = vec![C14N_11];
    })
    .by("G6", "the transform that leaves the signature out is missing"),
];

/// The manifest of one part of the first device; every base begins with its driver's and its VBIOS's.
fn rim(draft: &mut Draft, source: Source) -> &mut RimFields {
    let place = match source {
        Source::Driver => 0,
        Source::Vbios => 1,
    };
    &mut draft.rims[place]
}

fn index_conflict(draft: &mut Draft) {
    let value = first(draft).report.value_mut(VBIOS_INDEX + 1).cloned().unwrap_or_default();
    if let Some(resource) = rim(draft, Source::Driver).resource_mut(VBIOS_INDEX) {
        resource.active = true;
        resource.hashes = vec![crate::nvidia::formats::hex(&value)];
    }
}
