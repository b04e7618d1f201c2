//! The layering table: what each package may build on, and what it must never reach.

/// Package, its folder, and which of ours it may build on.
pub(crate) const LAYERS: &[(&str, &str, &[&str])] = &[
    ("tiltyard-tournament", "enclave/tournament", &[]),
    ("tiltyard-attestation", "attestation", &[]),
    ("tiltyard-provisioning", "provisioning", &["tiltyard-attestation"]),
    (
        "tiltyard-audit",
        "attestation/audit",
        &["tiltyard-attestation", "tiltyard-provisioning", "tiltyard-tournament"],
    ),
    ("tiltyard-broker", "provisioning/broker", &["tiltyard-attestation", "tiltyard-provisioning"]),
    ("tiltyard-training", "enclave/training", &["tiltyard-tournament"]),
    (
        "tiltyard-enclave",
        "enclave",
        &["tiltyard-attestation", "tiltyard-provisioning", "tiltyard-tournament", "tiltyard-training"],
    ),
    ("tiltyard-host", "host", &["tiltyard-attestation", "tiltyard-provisioning", "tiltyard-tournament"]),
];

/// Packages of one purpose; `name-*` stands for a family.
#[allow(dead_code, reason = "each of the two tests that share this table reads one member")]
pub(crate) struct Group {
    /// As ARCHITECTURE.md calls it.
    pub(crate) name: &'static str,
    pub(crate) packages: &'static [&'static str],
}

/// Packages that need a runtime, a socket or a connection.
const NETWORK: Group = Group {
    name: "network",
    packages: &[
        "tokio",
        "tokio-*",
        "axum",
        "axum-*",
        "hyper",
        "hyper-*",
        "mio",
        "socket2",
        "rustls",
        "rustls-webpki",
        "reqwest",
        "ureq",
        "async-std",
        "smol",
    ],
};
const TENSORS: Group =
    Group { name: "tensors", packages: &["candle-*", "tokenizers", "safetensors", "rayon"] };
/// Sources of randomness and of the system's time.
const AMBIENT: Group =
    Group { name: "randomness", packages: &["getrandom", "rand", "rand_chacha", "ring", "chrono"] };
/// What keeps state on a machine or asks its kernel.
const SYSTEM: Group = Group { name: "system", packages: &["rusqlite", "nix"] };

/// Package, and what it must never reach over normal dependencies.
pub(crate) const NEVER: &[(&str, &[Group])] = &[
    ("tiltyard-tournament", &[NETWORK, TENSORS, AMBIENT]),
    ("tiltyard-attestation", &[NETWORK, TENSORS, SYSTEM]),
    ("tiltyard-provisioning", &[NETWORK, TENSORS, SYSTEM]),
    ("tiltyard-audit", &[NETWORK, TENSORS, SYSTEM]),
    ("tiltyard-broker", &[TENSORS]),
    ("tiltyard-training", &[NETWORK]),
    ("tiltyard-host", &[TENSORS]),
];
