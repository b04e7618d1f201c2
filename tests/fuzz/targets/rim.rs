//! NVIDIA's reference integrity manifests: text, tree, signature, chain.

use std::sync::LazyLock;

use tiltyard_attestation::chain::Links;
use tiltyard_attestation::collateral::RIM_MAX_BYTES;
use tiltyard_attestation::nvidia::rim::{
    AuthenticRim, ENTRIES_MAX, Manifest, NAME_MAX_LEN, RimError, Source, compare,
};
use tiltyard_attestation::{Code, Collateral, TrustAnchors};

use super::Target;
use super::ground::{NOW, SIMULATED_NOW, names, vector};
use super::spdm::DEVICES;

pub const TARGET: Target = Target {
    name: "rim",
    run,
    seeds,
    costly,
    limit_bytes: RIM_MAX_BYTES,
    mutated_bytes: 32 * 1024,
    words: &[
        "<ns0:Resource ",
        "<ns0:Payload>",
        "</ns0:Payload>",
        "<ns0:Meta ",
        "<ds:Signature ",
        "<ds:Reference URI=\\\"\\\">",
        "<ds:X509Certificate>",
        " active=\\\"True\\\"",
        " alternatives=\\\"1\\\"",
        " index=\\\"7\\\"",
        " xmlns:ns0=\\\"",
        " xmlns=\\\"\\\"",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?xml version=\\\"1.0\\\" encoding=\\\"UTF-8\\\"?>",
        "<!DOCTYPE ",
        "&amp;",
        "&#x0d;",
        "&#9;",
        "xml:space=\\\"preserve\\\"",
    ],
};

/// Within the dates of the older signers.
const JUNE_2024: u64 = 1_717_200_000;
const JUNE_2025: u64 = 1_748_736_000;

fn seeds() -> Vec<Vec<u8>> {
    let files = names("nvidia/rim").into_iter().filter(|name| !name.ends_with(".md"));
    let simulated = DEVICES.sets.iter().filter_map(|set| Some(set.rims.first()?.xml.clone().into_bytes()));
    files.map(|name| vector(&name)).chain(simulated).collect()
}

/// The limits of a manifest's text one at a time: white space, references, elements, depth, namespaces, attributes.
fn costly() -> Vec<Vec<u8>> {
    let text =
        String::from_utf8(vector("nvidia/rim/nvat_NV_GPU_DRIVER_GH100_550.144.03.xml")).unwrap_or_default();
    let room = RIM_MAX_BYTES - text.len() - 64;
    let Some(at) = text.find("<ns0:Payload") else { return Vec::new() };
    let with = |more: String| [&text[..at], &more, &text[at..]].concat().into_bytes();
    let nested = |open: &dyn Fn(usize) -> String, depth: usize| {
        (0..depth).map(open).collect::<String>() + &"</a>".repeat(depth)
    };
    let namespaces = |at: usize| format!(r#"<a xmlns:n{at}="urn:{at}" n{at}:b="">"#);
    let attributes: String = (0..100).map(|at| format!(r#" b{at}="{at}""#)).collect();
    vec![
        with(" \r\n".repeat(room / 3)),
        with("&#9;".repeat(room / 4)),
        with(format!(r#"<a b="{}"/>"#, "&#9;".repeat(room / 4 - 8))),
        with("<a/>".repeat(700)),
        with(format!("<a{attributes}/>").repeat(room / (attributes.len() + 4))),
        with(nested(&namespaces, 28)),
        with("<!---->".repeat(200)),
        with("]]&gt;".repeat(room / 6)),
    ]
}

fn run(data: &[u8]) {
    for known in &*KNOWN {
        match known.open(data) {
            Ok(rim) => known.says_what_was_signed(rim.manifest()),
            // Form, algorithms and signature come before the roots, which alone differ.
            Err(error) if error.code() != Code::RimCertChain => return,
            Err(_) => {}
        }
    }
}

/// Manifests that a chain to one set of roots signed.
struct Known {
    anchors: TrustAnchors,
    links: Links,
    times: &'static [u64],
    signed: Vec<Manifest>,
}

static KNOWN: LazyLock<[Known; 2]> = LazyLock::new(|| {
    let known = |anchors, times, documents: Vec<Vec<u8>>| {
        let mut known = Known { anchors, links: Links::new(), times, signed: Vec::new() };
        known.signed =
            documents.iter().filter_map(|xml| Some(known.open(xml).ok()?.manifest().clone())).collect();
        assert!(!known.signed.is_empty(), "at least one manifest is genuine");
        known
    };
    let simulated = DEVICES.sets.iter().flat_map(|set| &set.rims).map(|rim| rim.xml.clone().into_bytes());
    let foreign = TrustAnchors::foreign(DEVICES.sets[0].anchors()).unwrap_or_else(|error| panic!("{error}"));
    [
        known(TrustAnchors::vendor(), &[NOW, JUNE_2025, JUNE_2024], seeds()),
        known(foreign, &[SIMULATED_NOW], simulated.collect()),
    ]
});

impl Known {
    /// Opens a document at the first of the times at which its signer is valid.
    fn open(&self, xml: &[u8]) -> Result<AuthenticRim, RimError> {
        let at = |now: u64| AuthenticRim::open(xml, &self.anchors, &Collateral::none(), &self.links, now);
        let mut opened = at(self.times[0]);
        for now in &self.times[1..] {
            match &opened {
                Err(error) if matches!(error.code(), Code::CertNotYetValid | Code::CertExpired) => {
                    opened = at(*now);
                }
                _ => break,
            }
        }
        opened
    }

    fn says_what_was_signed(&self, manifest: &Manifest) {
        assert!(self.signed.contains(manifest), "a forged manifest is accepted");
        assert!(manifest.golden().len() <= ENTRIES_MAX && manifest.tag_id().len() <= NAME_MAX_LEN);
        let found = compare(&[(Source::Driver, manifest)], &[], None);
        assert_eq!(found.matched, 0, "a device that shows nothing matches nothing");
    }
}
