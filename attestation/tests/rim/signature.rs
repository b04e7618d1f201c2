//! RIM-02 to RIM-04: one signature of one form, by a signer that a chain vouches for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tiltyard_attestation::chain::{ChainError, Links};
use tiltyard_attestation::nvidia::rim::{AuthenticRim, RimError};
use tiltyard_attestation::{Code, Collateral, TrustAnchors};

use crate::fixture::{
    C14N, Draft, ECDSA, ENVELOPED, NOW, SHA, Signature, anchors, info, open, resource, value,
};

const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const FORM: &str = "the children of the one allowed form";

fn signed(info: String) -> Result<AuthenticRim, RimError> {
    open(&Draft { info, ..Draft::default() }.sign())
}

fn form(expected: &'static str, got: usize) -> Result<AuthenticRim, RimError> {
    Err(RimError::SignatureForm { expected, got })
}

#[test]
fn rim_02_every_algorithm_is_the_one() {
    let algorithm = |role, expected| Err(RimError::Algorithm { role, expected });
    let with_comments = format!("{C14N}#WithComments");
    let c14n_1_0 = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
    for other in [EXCLUSIVE, with_comments.as_str(), c14n_1_0, ""] {
        assert_eq!(signed(info(other, ECDSA, &[ENVELOPED, C14N], SHA)), algorithm("canonicalization", C14N));
        assert_eq!(signed(info(C14N, ECDSA, &[ENVELOPED, other], SHA)), algorithm("second transform", C14N));
    }
    for other in [
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
        "http://www.w3.org/2001/04/xmldsig-more#hmac-sha384",
        "http://www.w3.org/2000/09/xmldsig#hmac-sha1",
    ] {
        assert_eq!(signed(info(C14N, other, &[ENVELOPED, C14N], SHA)), algorithm("signature method", ECDSA));
    }
    for other in ["http://www.w3.org/2000/09/xmldsig#sha1", "http://www.w3.org/2001/04/xmlenc#sha256"] {
        assert_eq!(signed(info(C14N, ECDSA, &[ENVELOPED, C14N], other)), algorithm("digest method", SHA));
    }
    assert_eq!(signed(info(C14N, ECDSA, &[C14N, ENVELOPED], SHA)), algorithm("first transform", ENVELOPED));
    for transforms in [&[ENVELOPED][..], &[C14N], &[ENVELOPED, C14N, C14N], &[]] {
        assert_eq!(signed(info(C14N, ECDSA, transforms, SHA)), form(FORM, transforms.len()));
    }
    let xpath = "http://www.w3.org/TR/1999/REC-xpath-19991116";
    assert_eq!(signed(info(C14N, ECDSA, &[xpath, C14N], SHA)), algorithm("first transform", ENVELOPED));
}

#[test]
fn rim_02_the_reference_is_one_and_the_whole_document() {
    let good = Draft::default().info;
    let reference = good.split_once("<ds:Reference").map(|(_, rest)| format!("<ds:Reference{rest}")).unwrap();
    assert_eq!(signed([&good, &reference[..]].concat()), form(FORM, 4));
    assert_eq!(signed(good.replace(&reference, "")), form(FORM, 2));
    for (uri, len) in [("#x", 2), ("http://x/", 9), (" ", 1)] {
        let other = good.replace("URI=\"\"", &format!("URI=\"{uri}\""));
        assert_eq!(signed(other), form("a reference to the whole document", len));
    }
    let attributes = "the attributes of the one allowed form";
    assert_eq!(signed(good.replace(" URI=\"\"", "")), form(attributes, 0));
    assert_eq!(
        signed(good.replace("<ds:Reference URI=\"\"", "<ds:Reference Id=\"x\" URI=\"\"")),
        form(attributes, 2)
    );
    assert_eq!(signed(good.replace(" URI=\"\"", " Id=\"\"")), form(attributes, 1));
    assert_eq!(signed(good.replace("<ds:Transforms>", "<ds:Transforms Id=\"x\">")), form(attributes, 1));
    let parameter = good.replace(
        "></ds:SignatureMethod>",
        "><ds:HMACOutputLength>8</ds:HMACOutputLength></ds:SignatureMethod>",
    );
    assert_eq!(signed(parameter), form(FORM, 1));
    assert_eq!(
        signed(good.replace("<ds:Transforms>", "x<ds:Transforms>")),
        form("no text between elements", 1)
    );
}

#[test]
fn rim_02_there_is_one_signature_and_it_is_the_roots_child() {
    let draft = Draft::default();
    let signature = draft.signature().element();
    assert_eq!(open(&draft.content()), form("one Signature", 0));
    assert_eq!(open(&draft.with(&signature.repeat(2))), form("one Signature", 2));
    assert_eq!(
        open(&draft.with(&format!("<x>{signature}</x>"))),
        form("the Signature as a child of the root", 0)
    );
    // A second one within the first, or in the payload, where the digest would cover it.
    let nested = signature.replace("</ds:KeyInfo>", "<ds:Signature></ds:Signature></ds:KeyInfo>");
    assert_eq!(open(&draft.with(&nested)), form("one Signature", 2));
    let payload = format!("{}<x>{signature}</x>", draft.payload);
    assert_eq!(open(&Draft::payload(payload).sign()), form("one Signature", 2));
    // Elsewhere in the root it stands as well.
    let first = draft.content().replacen("\n", &format!("{signature}\n"), 1);
    assert!(open(&first).is_ok());
}

#[test]
fn rim_02_the_signature_has_its_three_parts() {
    let draft = Draft::default();
    let good = draft.signature().element();
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        open(&draft.with(&good.replacen(from, to, 1)))
    };
    assert_eq!(with("</ds:Signature>", "<ds:Object></ds:Object></ds:Signature>"), form(FORM, 4));
    assert_eq!(with("<ds:KeyInfo>", "<ds:KeyInfo></ds:KeyInfo><ds:KeyInfo>"), form(FORM, 4));
    assert_eq!(with("<ds:KeyInfo>", "x<ds:KeyInfo>"), form("no text between elements", 1));
    assert_eq!(with("<ds:X509Data>", "<ds:X509Data></ds:X509Data><ds:X509Data>"), form("one X509Data", 2));
    assert_eq!(with("<ds:SignatureValue>", "<ds:SignatureValue>A"), form("base64", 129));
    assert_eq!(
        with("<ds:SignatureValue>", "<ds:SignatureValue>AAAA"),
        form("a value of its exact length", 99)
    );
    assert_eq!(with("<ds:SignatureValue>", "<ds:SignatureValue><x></x>"), form("base64", 0));
    assert_eq!(with("<ds:DigestValue>", "<ds:DigestValue>AAAA"), form("a value of its exact length", 51));
    assert_eq!(
        with("<ds:X509Certificate>", "<ds:X509Certificate>*").map_err(|error| error.code()),
        Err(Code::RimFormat)
    );
    for count in [0, 9] {
        let certificates = vec!["signer"; count];
        let xml = Draft { certificates, ..draft.clone() }.sign();
        assert_eq!(open(&xml), form("1 to 8 certificates", count));
    }
    // Hints that nobody signs and nothing takes.
    assert!(with("<ds:KeyInfo>", "<ds:KeyInfo><ds:KeyName>x</ds:KeyName>").is_ok());
    assert!(with("<ds:X509Data>", "<ds:X509Data><ds:X509SubjectName>x</ds:X509SubjectName>").is_ok());
}

#[test]
fn base64_is_read_across_lines_and_comments() {
    let draft = Draft::default();
    let Signature { info, value, certificates } = draft.signature();
    let split = |text: &str| format!("\n{}<!-- c -->\t{}\r\n", &text[..7], &text[7..]);
    let (before, digest) = info.split_once("<ds:DigestValue>").unwrap();
    let digest = digest.strip_suffix("</ds:DigestValue></ds:Reference>").unwrap();
    // White space in SignedInfo is signed; a comment is not.
    let info = format!(
        "{before}<ds:DigestValue>{}<!---->{}</ds:DigestValue></ds:Reference>",
        &digest[..9],
        &digest[9..]
    );
    let signature = Signature { info, value: split(&value), certificates };
    assert_eq!(open(&draft.with(&signature.element())), open(&draft.sign()));
}

#[test]
fn rim_03_what_is_signed_is_what_is_read() {
    let xml = Draft::default().sign();
    for (from, to) in [
        ("0707", "0708"),
        ("550.144.03", "550.144.04"),
        ("GH100", "GH101"),
        ("active=\"True\"", "active=\"False\""),
        ("<ns0:Payload>", "<ns0:Payload> "),
        ("<ns0:Payload>", "<ns0:Payload><?p?>"),
        ("<ns0:Payload>", "<ns0:Payload xmlns:p=\"urn:p\">"),
        ("ns0:Payload", "Payload"),
        ("</SoftwareIdentity>", " </SoftwareIdentity>"),
        ("</SoftwareIdentity>", "</SoftwareIdentity><?p?>"),
    ] {
        assert!(xml.contains(from));
        assert!(matches!(open(&xml.replace(from, to)), Err(RimError::DigestMismatch { .. })), "{to}");
    }
}

#[test]
fn rim_03_a_signed_manifest_inside_another_is_not_read() {
    // Signature wrapping: the signed document moves aside, another one takes its place.
    let genuine = Draft::default();
    let evil = Draft::payload(resource(7, "True", &[value(9)]));
    let signature = genuine.signature().element();
    for wrapped in [
        evil.with(&signature),
        evil.with(
            &signature.replace(
                "</ds:KeyInfo>",
                &format!("</ds:KeyInfo><ds:Object>{}</ds:Object>", genuine.content()),
            ),
        ),
        evil.with(&signature).replace("<ns0:Payload>", &format!("<x>{}</x><ns0:Payload>", genuine.content())),
        genuine
            .with(&signature)
            .replace("</SoftwareIdentity>", &format!("{}</SoftwareIdentity>", evil.content())),
        evil.content().replace("<ns0:Payload>", &format!("{}<ns0:Payload>", genuine.with(&signature))),
    ] {
        assert!(open(&wrapped).is_err(), "{wrapped}");
    }
}

#[test]
fn rim_03_signed_info_is_covered_by_the_signature() {
    let draft = Draft::default();
    let genuine = draft.signature();
    // The right digest of another document, without a signature over it.
    let evil = Draft::payload(resource(7, "True", &[value(9)]));
    let forged = Signature { info: evil.signed_info(), ..draft.signature() };
    assert!(matches!(open(&evil.with(&forged.element())), Err(RimError::Signature { .. })));
    // A prefix more in scope changes the canonical SignedInfo and nothing else.
    let scoped = genuine.element().replacen("xmlns:ds=", "xmlns:p=\"urn:p\" xmlns:ds=", 1);
    assert!(matches!(open(&draft.with(&scoped)), Err(RimError::Signature { .. })));
    let language = genuine.element().replacen("xmlns:ds=", "xml:lang=\"en\" xmlns:ds=", 1);
    assert!(matches!(open(&draft.with(&language)), Err(RimError::Signature { .. })));
    let base = genuine.element().replacen("xmlns:ds=", "xml:base=\"http://x/\" xmlns:ds=", 1);
    assert_eq!(open(&draft.with(&base)), form("no xml:base above it", 1));
    let mut value = STANDARD.decode(&genuine.value).unwrap();
    for at in 0..value.len() {
        value[at] ^= 1;
        let signature = Signature { value: STANDARD.encode(&value), ..draft.signature() };
        assert!(matches!(open(&draft.with(&signature.element())), Err(RimError::Signature { .. })), "{at}");
        value[at] ^= 1;
    }
    for zero in [vec![0; 96], [vec![0; 48], value[48..].to_vec()].concat()] {
        let signature = Signature { value: STANDARD.encode(&zero), ..draft.signature() };
        assert!(matches!(open(&draft.with(&signature.element())), Err(RimError::Signature { .. })));
    }
}

#[test]
fn rim_03_the_first_certificate_is_the_signers() {
    let of = |certificates| open(&Draft { certificates, ..Draft::default() }.sign());
    assert!(matches!(of(vec!["root", "signer"]), Err(RimError::Signature { .. })));
    assert!(matches!(of(vec!["signer256", "root"]), Err(RimError::SignerKey { .. })));
    let draft = Draft::default();
    let garbage = Signature {
        certificates: "<ds:X509Certificate>AAAA</ds:X509Certificate>".to_owned(),
        ..draft.signature()
    };
    assert!(matches!(open(&draft.with(&garbage.element())), Err(RimError::SignerKey { .. })));
}

#[test]
fn rim_04_the_chain_ends_in_the_pinned_root() {
    let of = |certificates| open(&Draft { certificates, ..Draft::default() }.sign());
    for good in [
        &["signer", "root"][..],
        &["signer"],
        &["signer_of_middle", "middle", "root"],
        &["signer_of_middle", "middle"],
    ] {
        assert!(of(good.to_vec()).is_ok(), "{good:?}");
    }
    let chain = |found: Result<AuthenticRim, RimError>| match found {
        Err(error @ RimError::Chain(_)) => {
            assert_eq!(error.code(), Code::RimCertChain);
            error
        }
        other => panic!("{other:?}"),
    };
    for (bad, expected) in [
        (&["signer_of_stranger", "stranger"][..], "not pinned"),
        (&["signer_of_stranger", "root"], "does not verify"),
        (&["signer_of_middle", "root"], "not issued by the next"),
        (&["signer_of_middle", "root", "middle"], "the root's key in the last certificate only"),
        (&["signer_of_middle"], "not pinned"),
        (&["signer_of_middle", "middle_no_ca", "root"], "may not issue"),
        (&["signer", "signer", "root"], "not issued by the next"),
    ] {
        let error = chain(of(bad.to_vec())).to_string();
        assert!(error.contains(expected), "{bad:?}: {error}");
    }
}

#[test]
fn rim_04_minted_signers_have_dates() {
    let xml = Draft::default().sign();
    let at =
        |now| AuthenticRim::open(xml.as_bytes(), &anchors("root"), &Collateral::none(), &Links::new(), now);
    // 2024-01-01 to 2049-01-01, both ends included.
    for (now, expected) in [
        (1_704_067_199, Some(Code::CertNotYetValid)),
        (1_704_067_200, None),
        (2_493_072_000, None),
        (2_493_072_001, Some(Code::CertExpired)),
    ] {
        assert_eq!(at(now).err().map(|error| error.code()), expected, "{now}");
    }
    assert!(matches!(at(0), Err(RimError::Chain(ChainError::CertNotYetValid { .. }))));
}

#[test]
fn rim_04_vendor_roots_refuse_every_minted_manifest() {
    let xml = Draft::default().sign();
    let links = Links::new();
    let found = AuthenticRim::open(xml.as_bytes(), &TrustAnchors::vendor(), &Collateral::none(), &links, NOW);
    assert!(matches!(found, Err(RimError::Chain(ChainError::UntrustedRoot { .. }))));
}

/// What a verifier remembers of a manifest follows from its bytes alone.
#[test]
fn a_manifest_that_was_read_before_is_chained_and_dated_anew() {
    let (links, document) = (Links::new(), Draft::default().sign());
    let open = |xml: &str, root: &str, now| {
        AuthenticRim::open(xml.as_bytes(), &anchors(root), &Collateral::none(), &links, now)
    };
    let code = |opened: Result<AuthenticRim, RimError>| opened.map_err(|error| error.code());
    let first = open(&document, "root", NOW).unwrap();
    assert_eq!(open(&document, "root", NOW), Ok(first.clone()));
    assert_eq!(code(open(&document, "root256", NOW)), Err(Code::RimCertChain));
    assert_eq!(code(open(&document, "root", 0)), Err(Code::CertNotYetValid));
    assert_eq!(code(open(&document, "root", u64::MAX)), Err(Code::CertExpired));
    let bent = document.replacen("GH100", "GB100", 1);
    assert_eq!(code(open(&bent, "root", NOW)), Err(Code::RimDigestMismatch));
    // A refusal is remembered of neither.
    assert_eq!(code(open(&bent, "root", NOW)), Err(Code::RimDigestMismatch));
    assert_eq!(open(&document, "root", NOW), Ok(first));
}
