//! Certificates beside evidence: AMD's RSA chains in DER, NVIDIA's ECDSA chains in DER and PEM.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use tiltyard_attestation::chain::CHAIN_MAX_BYTES;
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::nvidia::{Certificates, PEM_MAX_BYTES};
use tiltyard_attestation::policy::{Level, PolicyDocument};
use tiltyard_attestation::result::SigningKey;
use tiltyard_attestation::snp::certificates_of_table;
use tiltyard_attestation::{
    CheckId, Collateral, CpuExhibit, DeviceExhibit, Exhibits, TrustAnchors, Verdict, Verifier,
};

use tiltyard_simulator::certs_table::encode;

use super::Target;
use super::ground::{NOW, elements, many_extensions, names, pem, vector, with_extensions};
use super::snp::MINTED;
use super::spdm::DEVICES;

pub const TARGET: Target = Target {
    name: "chain",
    run,
    seeds,
    costly,
    limit_bytes: PEM_MAX_BYTES,
    mutated_bytes: CHAIN_MAX_BYTES + 64,
    words: &[
        "-----BEGIN CERTIFICATE-----\\x0a",
        "-----END CERTIFICATE-----\\x0a",
        "\\x30\\x82",
        "\\x55\\x1d",
    ],
};

const PEM_BEGIN: &[u8] = b"-----";
/// Leaf and chain of AMD's shape.
const CHAINS: [(&str, &str); 5] = [
    ("snp/virtee_milan_vcek.der", "snp/ask_ark_milan.pem"),
    ("snp/virtee_turin_vcek.der", "snp/ask_ark_turin.pem"),
    ("snp/trustee_test-vlek.der", "snp/asvk_ark_milan_vlek.pem"),
    ("snp/gosev_milan_vcek.der", "snp/ask_ark_genoa.pem"),
    ("minted/vcek_turin.der", "snp/asvk_ark_genoa_vlek.pem"),
];

fn seeds() -> Vec<Vec<u8>> {
    let amd = CHAINS.iter().map(|(vek, chain)| [vec![vector(vek)], pem(chain)].concat().concat());
    let minted = names("minted").into_iter().filter(|name| name.ends_with(".der")).map(|name| vector(&name));
    let minted: Vec<Vec<u8>> = minted.collect();
    let hopper = "nvidia/device/hopperCertChain.txt";
    let devices = DEVICES.sets.iter().filter_map(|set| Some(set.evidence.last()?.chain.concat()));
    let of_the_minted = [
        ["minted/vcek_turin.der", "minted/ask_turin.der"].map(vector).concat(),
        ["minted/vcek_milan.der", "minted/ask_milan.der", "minted/ark_milan.der"].map(vector).concat(),
    ];
    let nvidia = [vector(hopper), pem(hopper).concat()];
    let table = |key, [vek, ask, ark]: [&str; 3]| encode(key, &vector(vek), &vector(ask), &vector(ark));
    let tables = [
        table(SigningKey::Vcek, ["minted/vcek_turin.der", "minted/ask_turin.der", "minted/ark_turin.der"]),
        table(SigningKey::Vlek, ["minted/vcek_milan.der", "minted/ask_milan.der", "minted/ark_milan.der"]),
    ];
    amd.chain(tables).chain(minted).chain(devices).chain(of_the_minted).chain(nvidia).collect()
}

/// Many extensions, many certificates.
fn costly() -> Vec<Vec<u8>> {
    let certificates = ["minted/vcek_turin.der", "minted/ask_turin.der", "minted/ark_turin.der"].map(vector);
    let wide = |count| with_extensions(&certificates[0], &many_extensions(count));
    let text = vector("nvidia/device/hopperCertChain.txt").repeat(7);
    vec![
        [&wide(1000)[..], &certificates[1], &certificates[2]].concat(),
        [&wide(4000)[..], &certificates[1]].concat(),
        certificates.concat().repeat(25),
        pem("nvidia/device/hopperCertChain.txt").concat().repeat(8),
        text[..PEM_MAX_BYTES.min(text.len())].to_vec(),
    ]
}

fn run(data: &[u8]) {
    if let Ok(certificates) = certificates_of_table(data) {
        let within = |der: &Vec<u8>| der.is_empty() || data.windows(der.len()).any(|part| part == der);
        assert!(certificates.iter().all(within), "bytes from outside of the table");
        VERIFIERS.iter().for_each(|verifier| {
            is_a_chain(verifier, &certificates.concat());
        });
    }
    VERIFIERS.iter().for_each(|verifier| {
        is_a_chain(verifier, data);
    });
}

/// Whether a verifier takes these certificates for a chain, of a CPU or of a device.
fn is_a_chain(verifier: &Verifier, data: &[u8]) -> bool {
    let text = data.starts_with(PEM_BEGIN);
    let ders: Vec<Vec<u8>> =
        if text { Vec::new() } else { elements(data).into_iter().map(<[u8]>::to_vec).collect() };
    let certificates = if text { Certificates::from_pem(data) } else { Certificates::from_der(ders.clone()) };
    let cpu = (!text).then(|| CpuExhibit::Snp {
        report: None,
        certificates: ders.iter().map(|der| der.clone().into()).collect(),
    });
    let devices = vec![DeviceExhibit {
        kind: DeviceKind::Gpu,
        nonce: None,
        architecture: None,
        report: None,
        certificates,
    }];
    let examined = verifier.examine(
        &Exhibits { cpu, devices, nonce: None, device_nonce: None },
        &Collateral::none(),
        NOW,
    );
    let passed = |check| examined.checks.iter().any(|row| row.check == check && row.verdict == Verdict::Pass);
    let chain = passed(CheckId::Snp06) || passed(CheckId::Gpu03);
    if chain {
        assert!(ders.iter().all(|der| KNOWN.contains(der)), "a forged certificate is accepted");
        assert!(data.len() <= PEM_MAX_BYTES);
    }
    chain
}

/// Under the vendors' roots, under minted ones, and under the simulator's.
static VERIFIERS: LazyLock<[Verifier; 3]> = LazyLock::new(|| {
    let foreign = |set| TrustAnchors::foreign(set).unwrap_or_else(|error| panic!("{error}"));
    let sets = [TrustAnchors::vendor(), foreign(MINTED.foreign.clone()), foreign(DEVICES.sets[0].anchors())];
    let preset = PolicyDocument::preset(Level::Lab);
    sets.map(|anchors| Verifier::for_examination(anchors, &preset).unwrap_or_else(|error| panic!("{error}")))
});

/// Everything that a key of one of these roots ever signed, as far as these files know.
static KNOWN: LazyLock<BTreeSet<Vec<u8>>> = LazyLock::new(|| {
    let all = ["snp", "minted", "nvidia/device"].into_iter().flat_map(names);
    let files = all.flat_map(|name| match name.rsplit('.').next() {
        Some("der") => vec![vector(&name)],
        Some("pem" | "txt") => pem(&name),
        _ => Vec::new(),
    });
    let devices = DEVICES.sets.iter().flat_map(|set| set.evidence.iter().flat_map(|one| one.chain.clone()));
    files.chain(devices).collect()
});
