//! Revocation lists of AMD and NVIDIA, and OCSP answers, about chains that are otherwise in order.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA384, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use tiltyard_attestation::chain::{ForeignAnchors, Links, Revocation};
use tiltyard_attestation::collateral::{CRL_MAX_BYTES, OCSP_MAX_BYTES};
use tiltyard_attestation::nvidia::rim::AuthenticRim;
use tiltyard_attestation::policy::{Level, PolicyDocument};
use tiltyard_attestation::{Base64Bytes, Collateral, CpuExhibit, Exhibits, TrustAnchors, Verifier};

use super::Target;
use super::ground::{NOW, contains, der, elements, names, vector};
use super::snp::{MINTED, golden};
use super::spdm::DEVICES;

pub const TARGET: Target = Target {
    name: "revocation",
    run,
    seeds,
    costly,
    limit_bytes: CRL_MAX_BYTES,
    mutated_bytes: OCSP_MAX_BYTES + 64,
    words: &[
        "\\x30\\x82",
        "\\x18\\x0f20261122000000Z",
        "\\x80\\x00",
        "\\xa1\\x16",
        "\\x2b\\x06\\x01\\x05\\x05\\x07\\x30\\x01\\x01",
    ],
};

fn seeds() -> Vec<Vec<u8>> {
    let intel = ["tdx/gotdx_pckcrl", "tdx/gotdx_rootcrl.der"].map(vector);
    let simulated = DEVICES.sets.iter().filter_map(|set| Some(set.answers.first()?.der.clone()));
    let minted = STATEMENTS.iter().map(|statement| statement.der.clone());
    minted.chain(intel).chain(simulated).collect()
}

/// A list of as many certificates as one may have; nobody signed it, so it is read and then refused.
fn costly() -> Vec<Vec<u8>> {
    let entry = |at: u32| der(0x30, &[der(0x02, &at.to_be_bytes()), der(0x17, b"261101000000Z")].concat());
    let of = |list: &[u8], count: u32| {
        let [signed, rest @ ..] = &elements(content(list, 0x30)?)[..] else { return None };
        let fields = elements(content(signed, 0x30)?);
        let (extensions, before) = fields.split_last()?;
        let revoked = der(0x30, &(0x0100_0000..0x0100_0000 + count).map(entry).collect::<Vec<_>>().concat());
        let signed = der(0x30, &[&before.concat()[..], &revoked, extensions].concat());
        Some(der(0x30, &[&signed[..], &rest.concat()].concat()))
    };
    let (amd, nvidia) = (vector("minted/good.crl"), vector("nvidia/minted/empty.crl"));
    [of(&amd, 40_000), of(&nvidia, 600)].into_iter().flatten().collect()
}

fn run(data: &[u8]) {
    /// id-pkix-ocsp-basic: what is no answer is read as a list.
    const BASIC: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x30\x01\x01";
    let answer = contains(data, BASIC);
    if !answer {
        amd(data);
    }
    nvidia(data, answer);
}

/// A signed list or answer: the file, and the part of it that is signed.
struct Statement {
    der: Vec<u8>,
    signed: Vec<u8>,
}

static STATEMENTS: LazyLock<Vec<Statement>> = LazyLock::new(|| {
    let all = ["minted", "nvidia/minted"].into_iter().flat_map(names);
    let statement = |name: String| {
        let der = vector(&name);
        let answer = name.starts_with("nvidia/minted/") && !is_certificate(&der);
        (answer || name.ends_with(".crl"))
            .then(|| Statement { signed: signed(&der).unwrap_or_default().to_vec(), der })
    };
    all.filter(|name| name.ends_with(".crl") || name.ends_with(".der")).filter_map(statement).collect()
});

/// Content of the first element, which must have this tag.
fn content(der: &[u8], tag: u8) -> Option<&[u8]> {
    let element = *elements(der).first()?;
    let header = match element {
        [found, 0x82, ..] if *found == tag => 4,
        [found, 0x81, ..] if *found == tag => 3,
        [found, ..] if *found == tag => 2,
        _ => return None,
    };
    element.get(header..)
}

/// A certificate has a version in front, `[0]`, inside two sequences.
fn is_certificate(der: &[u8]) -> bool {
    let inner = content(der, 0x30).and_then(|outer| content(outer, 0x30));
    inner.is_some_and(|inner| inner.first() == Some(&0xa0))
}

/// What a list's or an answer's signature covers, header included.
fn signed(der: &[u8]) -> Option<&[u8]> {
    let outer = content(der, 0x30)?;
    let basic = match outer {
        // OCSPResponse (RFC 6960 4.2.1): status, then the answer's type and bytes.
        [0x0a, 1, 0, rest @ ..] => {
            let bytes = content(content(rest, 0xa0)?, 0x30)?;
            let octets = elements(bytes).get(1).copied()?;
            content(content(octets, 0x04)?, 0x30)?
        }
        _ => outer,
    };
    elements(basic).first().copied()
}

/// No statement that nobody signed says anything.
fn held(found: Revocation, data: &[u8]) {
    if !matches!(found, Revocation::Unknown { .. }) {
        let known = STATEMENTS.iter().any(|one| !one.signed.is_empty() && contains(data, &one.signed));
        assert!(known, "a forged statement is believed: {found}");
    }
}

/// The golden report under this one list.
fn amd(list: &[u8]) {
    static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| verifier(MINTED.foreign.clone()));
    static EXHIBITS: LazyLock<Exhibits> = LazyLock::new(|| {
        use tiltyard_attestation::evidence::CpuEvidence;
        let cpu = match golden().cpu {
            CpuEvidence::Snp { report, certificates } => {
                Some(CpuExhibit::Snp { report: Some(report.0), certificates })
            }
            CpuEvidence::Tdx { .. } => None,
        };
        Exhibits { cpu, devices: Vec::new(), nonce: None, device_nonce: None }
    });
    let collateral = Collateral { snp_crls: vec![Base64Bytes(list.to_vec())], ..Collateral::none() };
    let examined = VERIFIER.examine(&EXHIBITS, &collateral, NOW);
    match examined.facts.snp {
        Some(facts) => held(facts.revocation, list),
        None => assert!(list.len() > CRL_MAX_BYTES, "the golden report is authentic"),
    }
}

fn verifier(set: ForeignAnchors) -> Verifier {
    let anchors = TrustAnchors::foreign(set).unwrap_or_else(|error| panic!("{error}"));
    let preset = PolicyDocument::preset(Level::Lab);
    Verifier::for_examination(anchors, &preset).unwrap_or_else(|error| panic!("{error}"))
}

/// A manifest whose signer the minted answers and lists are about, under this one statement.
fn nvidia(statement: &[u8], answer: bool) {
    static SUBJECT: LazyLock<(String, TrustAnchors, Links, u64)> = LazyLock::new(|| {
        let nvidia_rim = Some(vector("nvidia/minted/root.der").into());
        let set = ForeignAnchors { nvidia_rim, ..ForeignAnchors::of_snp(vec![]) };
        let anchors = TrustAnchors::foreign(set).unwrap_or_else(|error| panic!("{error}"));
        let minted_at = String::from_utf8(vector("nvidia/minted/minted_at")).unwrap_or_default();
        let minted_at: u64 = minted_at.trim().parse().unwrap_or_default();
        (manifest(), anchors, Links::new(), minted_at + 3600)
    });
    if statement.len() > OCSP_MAX_BYTES {
        return;
    }
    let (xml, anchors, links, now) = &*SUBJECT;
    let given = vec![Base64Bytes(statement.to_vec())];
    let (ocsp, nvidia_crls) = if answer { (given, vec![]) } else { (vec![], given) };
    let collateral = Collateral { ocsp, nvidia_crls, ..Collateral::none() };
    match AuthenticRim::open(xml.as_bytes(), anchors, &collateral, links, *now) {
        Ok(rim) => held(rim.revocation(), statement),
        Err(error) => panic!("the minted manifest is authentic: {error}"),
    }
}

/// The least manifest in canonical form, signed by the minted signer: what a verifier canonicalises to itself.
fn manifest() -> String {
    const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
    const SHA: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
    const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
    const C14N: &str = "http://www.w3.org/2006/12/xml-c14n11";
    let hash = "07".repeat(48);
    let resource = format!(
        r#"<ns0:Resource active="True" alternatives="1" index="7" name="m" size="48" type="Measurement" ns2:Hash0="{hash}"></ns0:Resource>"#
    );
    let open = format!(
        r#"<SoftwareIdentity xmlns="{SWID}" xmlns:ns0="{SWID}" xmlns:ns2="{SHA}" name="GH100" tagId="0123">"#
    );
    let before = format!(
        r#"{open}<ns0:Meta colloquialVersion="550.144.03" edition="GPU" product="GH100"></ns0:Meta><ns0:Payload>{resource}</ns0:Payload>"#
    );
    let content = format!("{before}</SoftwareIdentity>");
    let digest = STANDARD.encode(digest(&SHA384, content.as_bytes()));
    let info = format!(
        r#"<ds:CanonicalizationMethod Algorithm="{C14N}"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"></ds:SignatureMethod><ds:Reference URI=""><ds:Transforms><ds:Transform Algorithm="{DSIG}enveloped-signature"></ds:Transform><ds:Transform Algorithm="{C14N}"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#sha384"></ds:DigestMethod><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>"#
    );
    let canonical = format!(
        r#"<ds:SignedInfo xmlns="{SWID}" xmlns:ds="{DSIG}" xmlns:ns0="{SWID}" xmlns:ns2="{SHA}">{info}</ds:SignedInfo>"#
    );
    let key = vector("nvidia/minted/signer_key.p8");
    let random = SystemRandom::new();
    let signature = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &key, &random)
        .ok()
        .and_then(|key| key.sign(&random, canonical.as_bytes()).ok())
        .map(|signature| STANDARD.encode(signature))
        .unwrap_or_default();
    let certificates: String = ["signer", "root"]
        .map(|name| STANDARD.encode(vector(&format!("nvidia/minted/{name}.der"))))
        .map(|der| format!("<ds:X509Certificate>{der}</ds:X509Certificate>"))
        .concat();
    format!(
        r#"{before}<ds:Signature xmlns:ds="{DSIG}"><ds:SignedInfo>{info}</ds:SignedInfo><ds:SignatureValue>{signature}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo></ds:Signature></SoftwareIdentity>"#
    )
}
