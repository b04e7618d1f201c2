//! The structure of a quote, before anybody vouches for it.

use tiltyard_attestation::tdx::{QUOTE_MAX_BYTES, Quote, QuoteError, declared_len};
use tiltyard_attestation::{CheckId, Code, Hex, Trace};

use crate::support::{Case, file, findings, trimmed};

fn parsed(bytes: &[u8]) -> Option<(CheckId, Code)> {
    let mut trace = Trace::new();
    let quote = Quote::parse(bytes, &mut trace);
    let finding = trace.findings().first().map(|finding| (finding.check, finding.code));
    assert_eq!(quote.is_err(), finding.is_some());
    finding
}

fn v4() -> Vec<u8> {
    trimmed("dcapqvl_tdx_quote")
}

fn v5() -> Vec<u8> {
    trimmed("dcapqvl_tdx_quote_outdated")
}

fn with(mut bytes: Vec<u8>, at: usize, value: &[u8]) -> Vec<u8> {
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

#[test]
fn declared_lengths_are_those_of_the_quotes() {
    assert_eq!(declared_len(&v4()), Ok(4_936));
    assert_eq!(declared_len(&file("dcapqvl_tdx_quote")), Ok(4_936));
    assert_eq!(declared_len(&v5()), Ok(5_006));
    assert_eq!(
        declared_len(&v4()[..47]),
        Err(QuoteError::TooShort { what: "header", expected: 48, got: 47 })
    );
    assert_eq!(declared_len(&v4()[..635]), Err(QuoteError::Truncated { expected: 636, got: 635 }));
    assert_eq!(declared_len(&file("dcapqvl_sgx_quote")), Err(QuoteError::WrongTee { got: 0 }));
    // Lengths of four bytes cannot overflow what adds them up.
    assert_eq!(declared_len(&with(v4(), 632, &[0xff; 4])), Ok(636 + 0xffff_ffff));
}

#[test]
fn tdx_01_headers_of_anything_else_are_refused() {
    for (at, value, code) in [
        (0, &[3, 0][..], Code::QuoteVersion),
        (0, &[6, 0], Code::QuoteVersion),
        (1, &[1], Code::QuoteVersion),
        (2, &[3, 0], Code::QuoteFormat),
        (4, &[0; 4], Code::WrongTee),
        (7, &[1], Code::WrongTee),
        (12, &[0x92], Code::QuoteFormat),
        (27, &[0x06], Code::QuoteFormat),
    ] {
        assert_eq!(parsed(&with(v4(), at, value)), Some((CheckId::Tdx01, code)), "{at}");
        assert_eq!(parsed(&with(v5(), at, value)), Some((CheckId::Tdx01, code)), "{at}");
    }
    assert_eq!(parsed(&v4()[..47]), Some((CheckId::Tdx01, Code::QuoteFormat)));
    assert_eq!(parsed(&[]), Some((CheckId::Tdx01, Code::QuoteFormat)));
    let vendor = Hex([0; 16]);
    assert_eq!(declared_len(&with(v4(), 12, &[0; 16])), Err(QuoteError::Vendor { got: vendor }));
}

#[test]
fn bnd_09_the_length_is_exactly_the_declared_one() {
    let short = Some((CheckId::Bnd09, Code::ReportLength));
    let long = Some((CheckId::Bnd09, Code::TrailingBytes));
    for quote in [v4(), v5()] {
        for len in [48, 100, 631, 635, quote.len() - 1] {
            assert_eq!(parsed(&quote[..len]), short, "{len}");
        }
        assert_eq!(parsed(&[&quote[..], &[0]].concat()), long);
    }
    assert_eq!(parsed(&with(v4(), 632, &4_301u32.to_le_bytes())), short);
    assert_eq!(parsed(&with(v4(), 632, &4_299u32.to_le_bytes())), long);
    // Beyond the limit even when the lengths add up.
    let mut large = v4();
    large.resize(QUOTE_MAX_BYTES + 1, 0);
    let large = with(large, 632, &(QUOTE_MAX_BYTES as u32 + 1 - 636).to_le_bytes());
    assert_eq!(declared_len(&large), Ok(QUOTE_MAX_BYTES + 1));
    assert_eq!(parsed(&large), short);
}

#[test]
fn tdx_02_bodies_have_the_size_of_their_type() {
    let format = Some((CheckId::Tdx02, Code::QuoteFormat));
    // SGX enclaves, and types that nobody has defined; their sizes as stated.
    for kind in [0u16, 1, 5, 6, 0x0103] {
        assert_eq!(parsed(&with(v5(), 48, &kind.to_le_bytes())), format, "{kind}");
    }
    // A known type with another size.
    for size in [0u32, 584, 647, 649, 885, u32::MAX] {
        assert_eq!(parsed(&with(v5(), 50, &size.to_le_bytes())), format, "{size}");
    }
    // Another known type, so that everything after it stands elsewhere.
    for kind in [2u16, 4] {
        let code = parsed(&with(v5(), 48, &kind.to_le_bytes())).map(|(check, _)| check);
        assert_eq!(code, Some(CheckId::Bnd09), "{kind}");
    }
}

#[test]
fn tdx_02_certification_data_is_of_the_known_types_and_fills_the_quote() {
    let format = Some((CheckId::Tdx02, Code::QuoteFormat));
    // Outer type and size, length of the authentication data, inner type and size.
    let (outer, auth, inner) = (764, 1_218, 1_252);
    for kind in [0u16, 1, 3, 5, 7, 0x0106] {
        assert_eq!(parsed(&with(v4(), outer, &kind.to_le_bytes())), format, "{kind}");
    }
    for kind in [0u16, 1, 2, 3, 4, 6, 7, 0x0105] {
        assert_eq!(parsed(&with(v4(), inner, &kind.to_le_bytes())), format, "{kind}");
    }
    for (at, len) in [(outer + 2, 4_166u32), (inner + 2, 3_678)] {
        assert_eq!(parsed(&with(v4(), at, &len.to_le_bytes())), None, "{at}");
        assert_eq!(parsed(&with(v4(), at, &(len + 1).to_le_bytes())), format, "{at}");
        assert_eq!(parsed(&with(v4(), at, &u32::MAX.to_le_bytes())), format, "{at}");
        let shorter = parsed(&with(v4(), at, &(len - 1).to_le_bytes()));
        assert_eq!(shorter, Some((CheckId::Tdx02, Code::TrailingBytes)), "{at}");
    }
    for len in [31u16, 33, 0, u16::MAX] {
        assert_eq!(parsed(&with(v4(), auth, &len.to_le_bytes())), format, "{len}");
    }
}

#[test]
fn tdx_03_the_chain_has_one_text() {
    let encoding = [(CheckId::Tdx03, Code::PckChainEncoding)];
    let quote = v4();
    let pem = 1_258;
    let newline = pem + 27;
    assert_eq!(quote[newline], b'\n');
    // An LF that becomes another white space, a digit, a NUL; the final NUL that becomes something else.
    for (at, value) in [(newline, b' '), (newline, b'\r'), (newline, 0), (newline + 70, b'='), (4_935, b'\n')]
    {
        assert_eq!(findings(&Case::of(with(v4(), at, &[value]))), encoding, "{at}");
    }
    // Certificates in another order, each text in its place.
    let text = String::from_utf8(quote[pem..4_935].to_vec()).unwrap();
    let end = "-----END CERTIFICATE-----\n";
    let parts: Vec<String> = text.split_inclusive(end).map(str::to_owned).collect();
    let [pck, authority, root] = parts.as_slice() else { panic!("three certificates") };
    let reordered = [root.as_str(), authority, pck].concat();
    assert_eq!(findings(&Case::of(with(v4(), pem, reordered.as_bytes()))), encoding);
}
