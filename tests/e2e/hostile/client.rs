//! What a client of a referee takes for evidence: the charter's gate, with the collateral that its user handed it.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tiltyard_attestation::collateral::{BUNDLE_MAX_BYTES, CollateralReadError};
use tiltyard_attestation::{CheckId, Collateral, Hex};
use tiltyard_host::connect::{CharterGate, Gate, GateError, Passed, Settings};
use tiltyard_simulator::hostile::composite::{Board, Cpu, Draft};
use tiltyard_simulator::nvidia::sets::NOW;

use crate::devices::{charter_over, lab};
use crate::parties::{parties, signed_by_both, write};

/// A client of a referee in a TD, whose quote cannot be appraised without Intel's collateral.
struct Client {
    settings: Settings,
    collateral: Collateral,
    charter: Hex<32>,
    dir: TempDir,
}

impl Client {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        parties().copy_homes(dir.path());
        let mut sample = lab().draft(Cpu::TdxV5, Board::Bare).unwrap();
        let charter = charter_over(&mut sample);
        let path = |name: &str| dir.path().join(name);
        write(&path("agreed.json"), &signed_by_both(dir.path(), &charter));
        write(&path("anchors.json"), &serde_json::to_vec(lab().anchors()).unwrap());
        let settings = Settings {
            to: "referee.invalid:1".into(),
            charter: path("agreed.json"),
            anchors: Some(path("anchors.json")),
            collateral: None,
            collateral_key: None,
            listen: ([127, 0, 0, 1], 0).into(),
            port_file: None,
        };
        let charter = tiltyard_host::agent::read_charter(&settings.charter).unwrap().1.p();
        Self { settings, collateral: lab().issue(&sample).unwrap().collateral, charter, dir }
    }

    fn with_file(&self, name: &str, bytes: &[u8]) -> Settings {
        let path = self.dir.path().join(name);
        write(&path, bytes);
        Settings { collateral: Some(path), ..self.settings.clone() }
    }

    /// The referee answers the gate's nonce on the channel `exporter`.
    fn pass(&self, settings: &Settings) -> Result<Passed, GateError> {
        let gate = CharterGate::open(settings, || NOW)?;
        let (nonce, exporter) = (gate.nonce()?, Hex([7; 32]));
        let mut draft: Draft = lab().draft(Cpu::TdxV5, Board::Bare).unwrap();
        draft.launch(|config| config.charter = self.charter);
        draft.cpu.runtime().nonce = nonce;
        draft.cpu.runtime().profile.channel = Some(exporter);
        let evidence = lab().issue(&draft).unwrap().evidence;
        gate.pass(nonce, exporter, &evidence.keys.tls_spki.0, &evidence)
    }
}

/// Checks that refused it.
fn refused(outcome: Result<Passed, GateError>) -> Vec<CheckId> {
    match outcome {
        Err(GateError::Refused(refusal)) => refusal.findings.iter().map(|finding| finding.check).collect(),
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn a_td_passes_with_the_collateral_that_the_client_was_handed_and_not_without() {
    let client = Client::new();
    let json = client.with_file("collateral.json", &serde_json::to_vec(&client.collateral).unwrap());
    assert_eq!(client.pass(&json).unwrap().header(), "pass; roots=NOT-A-VENDOR-ROOT");

    // What stands on Intel's PCK revocation list, QE identity and TCB info.
    let on_collateral = [CheckId::Tdx06, CheckId::Tdx08, CheckId::Tdx09, CheckId::Tdx10];
    assert_eq!(refused(client.pass(&client.settings)), on_collateral);
}

#[test]
fn collateral_that_is_cut_unsigned_or_too_long_opens_no_gate() {
    let client = Client::new();
    let whole = serde_json::to_vec(&client.collateral).unwrap();
    let open = |settings: &Settings| CharterGate::open(settings, || NOW).map(|_| ());

    let cut = open(&client.with_file("cut.json", &whole[..whole.len() - 1]));
    assert!(
        matches!(cut, Err(GateError::Collateral { source: CollateralReadError::Json(_), .. })),
        "{cut:?}"
    );
    let mut bundle = client.with_file("bundle.tar", &[0; 1024]);
    let no_key = open(&bundle);
    assert!(
        matches!(no_key, Err(GateError::Collateral { source: CollateralReadError::NoKey, .. })),
        "{no_key:?}"
    );
    bundle.collateral_key = Some(Hex([1; 32]));
    let no_bundle = open(&bundle);
    assert!(
        matches!(no_bundle, Err(GateError::Collateral { source: CollateralReadError::Bundle(_), .. })),
        "{no_bundle:?}"
    );

    let long = client.settings.charter.with_file_name("long.json");
    fs::File::create(&long).unwrap().set_len(BUNDLE_MAX_BYTES as u64 + 1).unwrap();
    let long = open(&Settings { collateral: Some(long), ..client.settings.clone() });
    assert!(matches!(long, Err(GateError::Input(_))), "{long:?}");
    let absent = open(&Settings { collateral: Some(Path::new("absent").into()), ..client.settings.clone() });
    assert!(matches!(absent, Err(GateError::Input(_))), "{absent:?}");
}
