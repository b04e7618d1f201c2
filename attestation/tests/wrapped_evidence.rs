//! Wrapped messages in extensions of certificates: both forms, and hostile bytes.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use tiltyard_attestation::cmw::{
    CERTIFICATE_MAX_BYTES, CMW_MAX_BYTES, CmwError, EVIDENCE_MEDIA_TYPE, MessageType, Wrapped,
    in_certificate, in_extension, to_extension,
};

const JSON: u8 = 0x0c;
const CBOR: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u8::try_from(content.len()).ok().filter(|len| *len < 0x80).unwrap();
    [&[tag, len], content].concat()
}

fn media(name: &str, value: &[u8]) -> Result<Wrapped, CmwError> {
    Ok(Wrapped { kind: MessageType::Media(name.to_owned()), value: value.to_vec() })
}

fn format(number: u16, value: &[u8]) -> Result<Wrapped, CmwError> {
    Ok(Wrapped { kind: MessageType::ContentFormat(number), value: value.to_vec() })
}

#[test]
fn what_is_written_is_read_at_every_length_of_its_header() {
    for len in [0, 1, 40, 50, 60, 100, 200, 10_000, 30_000] {
        let value = vec![0xa5; len];
        let extension = to_extension(EVIDENCE_MEDIA_TYPE, &value).unwrap();
        assert_eq!(in_extension(&extension), media(EVIDENCE_MEDIA_TYPE, &value), "{len}");
    }
}

#[test]
fn every_form_of_the_draft_is_read() {
    let text = |text: &str| in_extension(&der(JSON, text.as_bytes()));
    assert_eq!(text(r#"["a/b","q80"]"#), media("a/b", &[0xab, 0xcd]));
    assert_eq!(text(r#"["a/b","q80",4]"#), media("a/b", &[0xab, 0xcd]));
    assert_eq!(text(r#"[30001,"q80"]"#), format(30001, &[0xab, 0xcd]));
    let record = [0x82, 0x63, b'a', b'/', b'b', 0x42, 0xab, 0xcd];
    assert_eq!(in_extension(&der(CBOR, &record)), media("a/b", &[0xab, 0xcd]));
    assert_eq!(in_extension(&der(SEQUENCE, &der(CBOR, &record))), media("a/b", &[0xab, 0xcd]));
    let indicated = [0x83, 0x19, 0x75, 0x31, 0x42, 0xab, 0xcd, 0x04];
    assert_eq!(in_extension(&der(CBOR, &indicated)), format(30001, &[0xab, 0xcd]));
    // RFC 9277 4.3: 30001 = 117 * 255 + 166, so the tag is 0x63740101 + 117 * 256 + 166.
    let tagged = [0xda, 0x63, 0x74, 0x76, 0xa7, 0x42, 0xab, 0xcd];
    assert_eq!(in_extension(&der(CBOR, &tagged)), format(30001, &[0xab, 0xcd]));
}

#[test]
fn other_documents_are_refused() {
    let record = |text: &str| {
        let refused = in_extension(&der(JSON, text.as_bytes()));
        assert_eq!(refused, Err(CmwError::Record { got: text.len() }), "{text}");
    };
    record("");
    record("{}");
    record(r#"["a/b"]"#);
    record(r#"["a/b","q80",4,5]"#);
    record(r#"["a/b","q80="]"#);
    record(r#"["a/b","q8+"]"#);
    record(r#"[65536,"q80"]"#);
    record(r#"["a/b","q80"] x"#);
    record(&"[".repeat(100));
    for cbor in [
        &[][..],
        &[0x80],
        &[0x81, 0x00],
        &[0x84, 0, 0x40, 0, 0],
        &[0x9f, 0, 0x40, 0xff],
        &[0x82, 0x20, 0x40],
        &[0x82, 0, 0x60],
        &[0x82, 0, 0x40, 0],
        &[0x82, 0x63, 0xff, b'/', b'b', 0x40],
        &[0x82, 0, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xc0, 0x40],
        &[0xda, 0x63, 0x74, 0x01, 0x00, 0x40],
        &[0xda, 0x63, 0x74, 0x02, 0x00, 0x40],
    ] {
        let refused = in_extension(&der(CBOR, cbor));
        assert_eq!(refused, Err(CmwError::Record { got: cbor.len() }), "{cbor:02x?}");
    }
    for name in ["", "ab", "/b", "a/", "a/\u{e9}"] {
        let text = format!("[\"{name}\",\"\"]");
        let refused = in_extension(&der(JSON, text.as_bytes()));
        assert_eq!(refused, Err(CmwError::MediaType { got: name.len() }), "{name}");
    }
    assert_eq!(to_extension("a/\"", b""), Err(CmwError::MediaType { got: 3 }));
}

#[test]
fn truncations_and_trailing_bytes_are_refused() {
    let record = [0x82, 0x63, b'a', b'/', b'b', 0x42, 0xab, 0xcd];
    for whole in
        [to_extension("a/b", b"value").unwrap(), der(CBOR, &record), der(SEQUENCE, &der(CBOR, &record))]
    {
        for len in 0..whole.len() {
            assert_eq!(in_extension(&whole[..len]), Err(CmwError::Frame { got: len }));
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(in_extension(&longer), Err(CmwError::Frame { got: longer.len() }));
    }
    for len in 0..record.len() {
        assert_eq!(in_extension(&der(CBOR, &record[..len])), Err(CmwError::Record { got: len }));
    }
}

#[test]
fn limits_hold_before_anything_is_read() {
    let got = CMW_MAX_BYTES + 1;
    let refused = in_extension(&vec![0; got]);
    assert_eq!(refused, Err(CmwError::TooLarge { what: "extension", max: CMW_MAX_BYTES, got }));
    assert!(matches!(to_extension("a/b", &vec![0; CMW_MAX_BYTES]), Err(CmwError::TooLarge { .. })));
    let got = CERTIFICATE_MAX_BYTES + 1;
    let refused = in_certificate(&vec![0; got]);
    assert_eq!(refused, Err(CmwError::TooLarge { what: "certificate", max: CERTIFICATE_MAX_BYTES, got }));
}

#[test]
fn a_certificate_without_the_extension_holds_none_and_other_bytes_are_no_certificate() {
    let certificate = include_bytes!("vectors/minted/vcek_milan.der");
    assert_eq!(in_certificate(certificate), Ok(None));
    assert_eq!(in_certificate(&[&certificate[..], &[0]].concat()), Err(CmwError::Certificate));
    for len in (0..certificate.len()).step_by(7) {
        assert_eq!(in_certificate(&certificate[..len]), Err(CmwError::Certificate));
    }
}
