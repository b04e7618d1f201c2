//! Collateral that is not Intel's, not of this platform, or not of this time; nobody here has a key of Intel's.

use tiltyard_attestation::policy::Level;
use tiltyard_attestation::tdx::{CollateralFileError, PcsAnswers};
use tiltyard_attestation::{AppraisalPolicy, Base64Bytes, CheckId, Code, TdxCollateral, Verdict};

use crate::support::{Case, V4_NOW, collateral, file, findings, set, trimmed};

/// The UpToDate quote in an examination, with collateral after `edit`.
fn with(edit: impl FnOnce(&mut TdxCollateral)) -> Case {
    let mut edited = set("dcapqvl_tdx_quote_collateral.json");
    edit(&mut edited);
    Case { collateral: collateral(vec![edited]), now: V4_NOW, ..Case::of(trimmed("dcapqvl_tdx_quote")) }
}

fn replace(text: &mut Base64Bytes, from: &str, to: &str) {
    let old = String::from_utf8(text.0.clone()).unwrap();
    let new = old.replacen(from, to, 1);
    assert_ne!(old, new);
    *text = new.into_bytes().into();
}

/// What hangs on TCB info that is not genuine.
const NO_TCB_INFO: [(CheckId, Code); 2] =
    [(CheckId::Tdx08, Code::CollateralMismatch), (CheckId::Tdx09, Code::TcbStatus)];
/// What hangs on a QE identity that is not genuine.
const NO_IDENTITY: [(CheckId, Code); 2] =
    [(CheckId::Tdx06, Code::QeIdentity), (CheckId::Tdx09, Code::TcbStatus)];

#[test]
fn the_collateral_as_it_is_passes() {
    assert_eq!(findings(&with(|_| {})), []);
}

#[test]
fn tdx_08_an_edited_tcb_info_is_refused() {
    let case = with(|set| replace(&mut set.tcb_info, "OutOfDate", "UpToDate"));
    let outcome = case.run();
    assert_eq!(outcome.findings(), NO_TCB_INFO);
    assert!(outcome.got(CheckId::Tdx08).starts_with("the signature on the document"));
    // White space changes no member, and is signed all the same.
    assert_eq!(findings(&with(|set| replace(&mut set.tcb_info, "{", "{ "))), NO_TCB_INFO);
    assert_eq!(findings(&with(|set| set.tcb_info.0.push(b'\n'))), NO_TCB_INFO);
    for text in ["", "{}", "[]", "null", "\u{0}"] {
        assert_eq!(findings(&with(|set| set.tcb_info = text.as_bytes().to_vec().into())), NO_TCB_INFO);
    }
}

#[test]
fn tdx_08_a_signature_of_another_document_is_refused() {
    assert_eq!(
        findings(&with(|set| set.tcb_info_signature = set.qe_identity_signature.clone())),
        NO_TCB_INFO
    );
    for len in [0, 63, 65, 1_000] {
        assert_eq!(findings(&with(|set| set.tcb_info_signature = vec![1; len].into())), NO_TCB_INFO, "{len}");
    }
    assert_eq!(findings(&with(|set| set.tcb_info_signature = vec![0; 64].into())), NO_TCB_INFO);
}

#[test]
fn tdx_08_documents_of_another_kind_or_platform_are_refused() {
    // The other document, genuinely signed.
    let swapped = with(|set| {
        set.tcb_info = set.qe_identity.clone();
        set.tcb_info_signature = set.qe_identity_signature.clone();
    });
    assert_eq!(findings(&swapped), NO_TCB_INFO);
    // SGX's, genuinely signed.
    let sgx = set("dcapqvl_sgx_quote_collateral.json");
    let case = with(|set| {
        set.tcb_info = sgx.tcb_info.clone();
        set.tcb_info_signature = sgx.tcb_info_signature.clone();
    });
    assert_eq!(findings(&case), NO_TCB_INFO);
    // Of another family of platforms, at a time when it is current.
    let other = Case {
        collateral: collateral(vec![set("dcapqvl_tdx_quote_outdated_collateral.json")]),
        now: crate::support::V5_NOW,
        ..Case::of(trimmed("dcapqvl_tdx_quote"))
    };
    let outcome = other.run();
    assert_eq!(outcome.findings(), NO_TCB_INFO);
    let got = outcome.got(CheckId::Tdx08);
    assert_eq!(got, "expected TCB info of FMSPC b0c06f000000, found 90c06f000000");
}

#[test]
fn the_set_of_the_platforms_family_is_chosen() {
    let sets = ["dcapqvl_tdx_quote_outdated_collateral.json", "dcapqvl_tdx_quote_collateral.json"].map(set);
    for sets in [sets.to_vec(), [&sets[1..], &sets[..1]].concat()] {
        let case = Case { collateral: collateral(sets), ..with(|_| {}) };
        assert_eq!(findings(&case), []);
    }
}

#[test]
fn tdx_06_an_edited_or_exchanged_qe_identity_is_refused() {
    let edited = with(|set| replace(&mut set.qe_identity, "\"isvsvn\":4", "\"isvsvn\":9"));
    assert_eq!(findings(&edited), NO_IDENTITY);
    let signature = with(|set| set.qe_identity_signature = set.tcb_info_signature.clone());
    assert_eq!(findings(&signature), NO_IDENTITY);
    // The identity of SGX's quoting enclave, genuinely signed.
    let sgx = set("dcapqvl_sgx_quote_collateral.json");
    let other = with(|set| {
        set.qe_identity = sgx.qe_identity.clone();
        set.qe_identity_signature = sgx.qe_identity_signature.clone();
    });
    assert_eq!(findings(&other), NO_IDENTITY);
}

#[test]
fn tdx_08_signers_that_the_root_did_not_appoint_are_refused() {
    // Chains that end in the pinned root, by certificates that may not sign documents.
    let quote = file("dcapqvl_tdx_quote");
    let pck_chain = &quote[1_258..4_935];
    for chain in [pck_chain, &set("dcapqvl_tdx_quote_collateral.json").pck_crl_issuer_chain.0] {
        let case = with(|set| set.tcb_info_issuer_chain = chain.to_vec().into());
        assert_eq!(findings(&case), NO_TCB_INFO);
        let case = with(|set| set.qe_identity_issuer_chain = chain.to_vec().into());
        assert_eq!(findings(&case), NO_IDENTITY);
    }
    for chain in ["", "-----BEGIN CERTIFICATE-----\n", "nothing"] {
        let case = with(|set| set.tcb_info_issuer_chain = chain.as_bytes().to_vec().into());
        assert_eq!(findings(&case), NO_TCB_INFO, "{chain}");
    }
}

#[test]
fn tdx_07_lists_that_are_not_those_of_the_authorities_are_refused() {
    let unknown = [(CheckId::Tdx07, Code::RevocationUnknown)];
    let none = with(|set| set.pck_crl = vec![].into());
    assert_eq!(findings(&none), unknown, "empty");
    for edit in [
        // A list that somebody changed.
        (|set: &mut TdxCollateral| *set.pck_crl.0.last_mut().unwrap() ^= 1) as fn(&mut TdxCollateral),
        |set| *set.root_ca_crl.0.last_mut().unwrap() ^= 1,
        |set| set.pck_crl.0.push(0),
        |set| set.root_ca_crl.0.truncate(100),
    ] {
        assert_eq!(findings(&with(edit)), unknown);
    }
}

/// Lists of other authorities say nothing of this PCK: revocation is unknown, and `lab` prints it.
#[test]
fn tdx_07_lists_of_other_authorities_say_nothing() {
    for edit in [
        (|set: &mut TdxCollateral| set.pck_crl = set.root_ca_crl.clone()) as fn(&mut TdxCollateral),
        |set| set.root_ca_crl = set.pck_crl.clone(),
        // The processor authority's.
        |own| own.pck_crl = set("dcapqvl_sgx_quote_collateral.json").pck_crl,
    ] {
        let case = with(edit);
        let outcome = case.run();
        assert_eq!(outcome.verdict(CheckId::Tdx07), Verdict::Warning);
        for level in [Level::Standard, Level::Strict] {
            let case = Case { policy: AppraisalPolicy::preset(level), ..with(edit) };
            assert!(findings(&case).contains(&(CheckId::Tdx07, Code::RevocationUnknown)), "{level:?}");
        }
    }
}

#[test]
fn tdx_07_past_lists_are_refused_at_every_level() {
    for level in [Level::Lab, Level::Standard, Level::Strict] {
        let case = Case { now: 1_753_000_000, ..Case::up_to_date(level) };
        assert!(findings(&case).contains(&(CheckId::Tdx07, Code::CollateralStale)), "{level:?}");
    }
}

#[test]
fn huge_and_nested_documents_end_soon() {
    let nested = with(|set| set.tcb_info = "[".repeat(1 << 20).into_bytes().into());
    assert_eq!(findings(&nested), NO_TCB_INFO);
    let members = (0..100_000).map(|at| format!("\"{at}\":0")).collect::<Vec<_>>().join(",");
    let wide = with(|set| set.tcb_info = format!("{{{members}}}").into_bytes().into());
    assert_eq!(findings(&wide), NO_TCB_INFO);
}

fn answers<'a>(tcb_info: &'a [u8], qe_identity: &'a [u8], chain: &'a [u8]) -> PcsAnswers<'a> {
    PcsAnswers {
        tcb_info,
        tcb_info_issuer_chain: chain,
        qe_identity,
        qe_identity_issuer_chain: chain,
        pck_crl: b"30820000",
        pck_crl_issuer_chain: b"",
        root_ca_crl: b"30820000",
    }
}

/// The service's answers give the same bytes as the file form: what is signed is taken from the text.
#[test]
fn answers_of_the_service_hold_the_signed_text_itself() {
    let known = set("dcapqvl_tdx_quote_collateral.json");
    let text = |bytes: &Base64Bytes| String::from_utf8(bytes.0.clone()).unwrap();
    let hex: String = known.tcb_info_signature.0.iter().map(|byte| format!("{byte:02X}")).collect();
    let info = format!("{{\"tcbInfo\":{},\"signature\":\"{hex}\"}}", text(&known.tcb_info));
    let hex: String = known.qe_identity_signature.0.iter().map(|byte| format!("{byte:02x}")).collect();
    // Members in another order, and white space between them.
    let identity =
        format!(" {{ \"signature\" : \"{hex}\",\n\"enclaveIdentity\": {} }}\n", text(&known.qe_identity));
    let chain = text(&known.tcb_info_issuer_chain).trim_end().replace('\n', "\r\n");
    let pem = x509_pem(&known.root_ca_crl.0);
    let hex: String = known.pck_crl.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let read = TdxCollateral::from_pcs(&PcsAnswers {
        pck_crl: hex.as_bytes(),
        pck_crl_issuer_chain: &known.pck_crl_issuer_chain.0,
        root_ca_crl: pem.as_bytes(),
        ..answers(info.as_bytes(), identity.as_bytes(), chain.as_bytes())
    });
    assert_eq!(read, Ok(known));
}

fn x509_pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", lines.join("\n"))
}

#[test]
fn published_answers_are_read() {
    let (info, identity) = (file("gotdx_sample_tcbInfo_response"), file("gotdx_sample_qeIdentity_response"));
    let (pck_crl, root_crl) = (file("gotdx_pckcrl"), file("gotdx_rootcrl.der"));
    let chain = set("dcapqvl_tdx_quote_collateral.json").tcb_info_issuer_chain;
    let read = TdxCollateral::from_pcs(&PcsAnswers {
        pck_crl: &pck_crl,
        root_ca_crl: &root_crl,
        ..answers(&info, &identity, &chain.0)
    })
    .unwrap();
    assert!(info[11..].starts_with(&read.tcb_info.0));
    assert_eq!(read.tcb_info_signature.0.len(), 64);
    assert_eq!(read.pck_crl.0, pck_crl);
    // The signer of that time was reissued since: its certificate is not public here, so the documents stay
    // without a voucher. Their lists are those of the authorities, and in their time nothing is revoked.
    let case = Case {
        collateral: collateral(vec![read]),
        now: 1_687_392_000,
        ..Case::of(trimmed("gotdx_tdx_prod_quote_SPR_E4.dat"))
    };
    let outcome = case.run();
    assert_eq!(outcome.verdict(CheckId::Tdx07), Verdict::Pass);
    assert_eq!(outcome.findings()[0], (CheckId::Tdx06, Code::QeIdentity));
}

#[test]
fn files_of_another_form_are_refused() {
    let good = file("dcapqvl_tdx_quote_collateral.json");
    let text = String::from_utf8(good.clone()).unwrap();
    let edited = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        TdxCollateral::from_json(text.replacen(from, to, 1).as_bytes())
    };
    for member in [
        "tcb_info",
        "tcb_info_signature",
        "qe_identity",
        "qe_identity_signature",
        "tcb_info_issuer_chain",
        "qe_identity_issuer_chain",
        "pck_crl_issuer_chain",
        "pck_crl",
        "root_ca_crl",
    ] {
        let missing = edited(&format!("\"{member}\":"), &format!("\"x{member}\":"));
        assert_eq!(missing, Err(CollateralFileError::Missing { member }), "{member}");
        let twice = edited("{", &format!("{{\"{member}\":\"\","));
        assert!(matches!(twice, Err(CollateralFileError::Json(_))), "{member}");
    }
    let signature = edited("\"tcb_info_signature\": \"", "\"tcb_info_signature\": \"00");
    let form = CollateralFileError::Form { member: "tcb_info_signature", expected: "64 bytes in hex" };
    assert_eq!(signature, Err(form));
    let chain = edited("MII", "!II");
    assert!(matches!(chain, Err(CollateralFileError::Form { expected: "PEM certificates", .. })));
    for len in [0, 1, good.len() - 1] {
        assert!(matches!(TdxCollateral::from_json(&good[..len]), Err(CollateralFileError::Json(_))), "{len}");
    }
    let large = vec![b' '; tiltyard_attestation::tdx::COLLATERAL_FILE_MAX_BYTES + 1];
    assert!(matches!(TdxCollateral::from_json(&large), Err(CollateralFileError::TooLarge { .. })));
}
