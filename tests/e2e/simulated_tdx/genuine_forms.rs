//! Minted bytes have the forms of genuine ones, as readers that are not ours tell them.

use std::path::Path;

use tiltyard_simulator::intel::event_log::{Event, EventLog};
use tiltyard_simulator::intel::pem::PemForm;
use tiltyard_simulator::intel::{Form, Issued};
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;

use crate::peer::{FORMS, issued};

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/tdx");

/// A public file, or nothing and a loud word where the collection is absent.
fn public(name: &str) -> Option<Vec<u8>> {
    let bytes = std::fs::read(Path::new(SHARED).join(name)).ok();
    if bytes.is_none() {
        println!("SKIPPED: the shared vector collection is absent");
    }
    bytes
}

/// Certificates of a quote's PEM chain, leaf first.
fn chain(quote: &[u8]) -> Vec<Certificate> {
    let quote = dcap_qvl::quote::Quote::parse(quote).expect("quote");
    let chain = dcap_qvl::intel::extract_cert_chain(&quote).expect("chain");
    chain.iter().map(|der| Certificate::from_der(der).expect("certificate")).collect()
}

/// What the layout of a certificate is: names, algorithms, extensions with criticality, in order.
fn layout(certificate: &Certificate) -> (String, String, String, Vec<(String, bool)>) {
    let tbs = certificate.tbs_certificate();
    let extensions = tbs.extensions().expect("extensions").iter();
    (
        tbs.issuer().to_string(),
        tbs.subject().to_string(),
        format!("{:?} {:?}", tbs.signature(), tbs.subject_public_key_info().algorithm),
        extensions.map(|row| (row.extn_id.to_string(), row.critical)).collect(),
    )
}

/// Member names of a JSON text at every depth, in order; of a list, those of its first element.
fn members(value: &serde_json::Value, path: &str, out: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => map.iter().for_each(|(name, value)| {
            let path = format!("{path}.{name}");
            out.push(path.clone());
            members(value, &path, out);
        }),
        serde_json::Value::Array(list) => {
            list.first().into_iter().for_each(|value| members(value, &format!("{path}[]"), out));
        }
        _ => {}
    }
}

fn members_of(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    members(&serde_json::from_str(text).expect("JSON"), "", &mut out);
    out
}

fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).expect("JSON")
}

#[test]
fn another_parser_reads_the_chain_and_the_lists() {
    for form in FORMS {
        let issued = issued(form, |_| {});
        let [pck, authority, root] = chain(&issued.quote).try_into().expect("three certificates");
        assert_eq!(pck.tbs_certificate().issuer(), authority.tbs_certificate().subject());
        assert_eq!(authority.tbs_certificate().issuer(), root.tbs_certificate().subject());
        assert_eq!(root.tbs_certificate().issuer(), root.tbs_certificate().subject());
        assert!(root.tbs_certificate().subject().to_string().contains("CN=Intel SGX Root CA"));
        for list in [&issued.collateral.root_crl, &issued.collateral.pck_crl] {
            CertificateList::<x509_cert::certificate::Rfc5280>::from_der(list).expect("list");
        }
    }
}

#[test]
fn certificates_have_the_layout_of_public_ones() {
    let Some(genuine) = public("dcapqvl_tdx_quote") else { return };
    let minted: Vec<_> = chain(&issued(Form::V4, |_| {}).quote).iter().map(layout).collect();
    let public: Vec<_> = chain(&genuine).iter().map(layout).collect();
    assert_eq!(minted, public);
}

#[test]
fn the_sgx_extension_has_the_layout_of_a_public_one() {
    let Some(genuine) = public("dcapqvl_tdx_quote") else { return };
    let extension = |quote: &[u8]| {
        let quote = dcap_qvl::quote::Quote::parse(quote).expect("quote");
        let chain = dcap_qvl::intel::extract_cert_chain(&quote).expect("chain");
        dcap_qvl::intel::parse_pck_extension(&chain[0]).expect("extension").raw_extension
    };
    let minted = extension(&issued(Form::V4, |_| {}).quote);
    // Values differ, tags and lengths do not.
    assert_eq!(tags(&minted), tags(&extension(&genuine)));
}

/// Tag and length of each DER value, in order, and the content of each OBJECT IDENTIFIER.
fn tags(mut der: &[u8]) -> Vec<(u8, usize, Vec<u8>)> {
    let mut out = Vec::new();
    while let [tag, first, rest @ ..] = der {
        let (len, rest) = match *first {
            short @ 0..=0x7f => (usize::from(short), rest),
            0x81 => (usize::from(rest[0]), &rest[1..]),
            _ => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
        };
        let (content, after) = rest.split_at(len);
        out.push((*tag, len, if *tag == 6 { content.to_vec() } else { Vec::new() }));
        if *tag == 0x30 {
            out.extend(tags(content));
        }
        der = after;
    }
    out
}

#[test]
fn parts_of_public_quotes_stand_at_the_offsets() {
    for (name, form) in [("dcapqvl_tdx_quote", Form::V4), ("dcapqvl_tdx_quote_outdated", Form::V5Td15)] {
        let Some(genuine) = public(name) else { return };
        let minted = issued(form, |draft| draft.quote.pem = PemForm::CanonicalNul).quote;
        let offsets = form.offsets();
        for quote in [&genuine, &minted] {
            let u16_at = |at: usize| u16::from_le_bytes([quote[at], quote[at + 1]]);
            let u32_at =
                |at: usize| u32::from_le_bytes(quote[at..at + 4].try_into().expect("4 bytes")) as usize;
            assert_eq!((u16_at(offsets.outer_type), u16_at(offsets.auth_length)), (6, 32));
            let inner = offsets.auth + 32;
            assert_eq!(u16_at(inner), 5);
            let end = inner + 6 + u32_at(inner + 2);
            assert_eq!(offsets.outer_type + 6 + u32_at(offsets.outer_type + 2), end);
            assert_eq!(offsets.signature + u32_at(offsets.signed_end), end);
            // Public files are buffers that are longer than the quote.
            assert!(end <= quote.len() && quote[end..].iter().all(|byte| *byte == 0));
            assert_eq!(quote[end - 1], 0, "a NUL ends the chain");
        }
    }
}

#[test]
fn signed_texts_have_the_members_of_public_ones() {
    let Some(genuine) = public("dcapqvl_tdx_quote_outdated_collateral.json") else { return };
    let genuine = json(&genuine);
    let minted = issued(Form::V4, |_| {}).collateral;
    for (text, name) in [(&minted.tcb_info, "tcb_info"), (&minted.qe_identity, "qe_identity")] {
        let public = genuine[name].as_str().expect("a text");
        assert_eq!(members_of(text), members_of(public), "{name}");
    }
    let file = minted.to_json();
    let mut names: Vec<_> = members_of(&file);
    let mut public: Vec<_> =
        genuine.as_object().expect("members").keys().map(|name| format!(".{name}")).collect();
    names.sort();
    public.sort();
    assert_eq!(names, public);
}

#[test]
fn answers_of_the_service_have_the_form_of_public_ones() {
    let minted = issued(Form::V4, |_| {}).collateral;
    let [tcb_info, qe_identity, pck_crl, root_crl] = minted.to_pcs([0xb0, 0xc0, 0x6f, 0, 0, 0]);
    assert_eq!(tcb_info.request, "/tdx/certification/v4/tcb?fmspc=B0C06F000000");
    assert_eq!((&pck_crl.body, &root_crl.body), (&minted.pck_crl, &minted.root_crl));
    for (answer, name) in
        [(tcb_info, "gotdx_sample_tcbInfo_response"), (qe_identity, "gotdx_sample_qeIdentity_response")]
    {
        let (_, chain) = answer.issuer_chain.expect("a chain");
        assert!(chain.starts_with("-----BEGIN%20CERTIFICATE-----%0A"), "{name}");
        let Some(genuine) = public(name) else { return };
        let outer = |bytes: &[u8]| -> Vec<String> {
            json(bytes).as_object().expect("members").keys().cloned().collect()
        };
        assert_eq!(outer(&answer.body), outer(&genuine), "{name}");
        assert_eq!(json(&answer.body)["signature"].as_str().map(str::len), Some(128));
    }
}

/// Events of a log as a second reader finds them; none of its header.
fn events(log: &[u8]) -> Vec<Event> {
    let u32_at = |at: usize| u32::from_le_bytes(log[at..at + 4].try_into().expect("4 bytes"));
    let mut at = 32 + u32_at(28) as usize;
    let mut events = Vec::new();
    while at + 8 <= log.len() && u32_at(at) != u32::MAX {
        assert_eq!(u32_at(at + 8), 1, "one digest");
        let len = u32_at(at + 62) as usize;
        events.push(Event {
            register: u32_at(at),
            kind: u32_at(at + 4),
            digest: log[at + 14..at + 62].try_into().expect("48 bytes"),
            data: log[at + 66..at + 66 + len].to_vec(),
        });
        at += 66 + len;
    }
    events
}

#[test]
fn a_public_log_written_again_is_the_same_and_replays_to_its_quote() {
    let Some(log) = public("gotdx_ccel_data.dat") else { return };
    let quote = public("gotdx_cos-113-tdx-quote.dat").expect("beside it");
    let table = public("gotdx_ccel_table.dat").expect("beside it");
    let written = EventLog { events: events(&log), area_bytes: log.len() as u64, address: 0xbedb_f000 };
    assert_eq!(written.events.len(), 43);
    assert!(written.encode() == log, "the bytes differ");
    let registers: Vec<u8> = written.replay().concat();
    assert_eq!(registers, quote[48 + 328..48 + 328 + 192]);
    // The ACPI table names other makers and another checksum; all else is the same.
    let ours = written.acpi_table();
    assert_eq!((ours.len(), &ours[..9], &ours[36..]), (table.len(), &table[..9], &table[36..]));
    assert_eq!(ours.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
}

#[test]
fn the_minted_log_replays_to_the_minted_quote() {
    for form in FORMS {
        let Issued { quote, event_log, .. } = issued(form, |_| {});
        let read = events(&event_log);
        let log = EventLog { events: read, area_bytes: event_log.len() as u64, address: 0 };
        assert_eq!(log.events.len(), EventLog::genuine().events.len());
        let end = form.offsets().signed_end;
        let body = if form == Form::V5Td15 { end - 648 } else { end - 584 };
        assert_eq!(quote[body + 328..body + 520], log.replay().concat());
        assert!(log.replay().iter().all(|register| *register != [0; 48]));
    }
}
