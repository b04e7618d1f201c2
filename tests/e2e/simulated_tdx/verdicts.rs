//! What dcap-qvl makes of minted quotes: accepted with the status that the collateral says, refused when broken.

use tiltyard_simulator::intel::sgx::Configuration;
use tiltyard_simulator::intel::tcb_info::{EVALUATION, HARDENING_ADVISORY, STATUSES, TcbStatus};
use tiltyard_simulator::intel::{Draft, Form, Key, SimulatedTdx};

use crate::peer::{FORMS, NOW, collateral, issued, machine, strict, verdict, verdict_at};

const DAY_S: u64 = 86_400;

#[test]
fn honest_quotes_of_every_form_are_up_to_date() {
    for form in FORMS {
        let report = verdict(form, |_| {}).unwrap_or_else(|error| panic!("{form:?}: {error}"));
        assert_eq!(report.status, "UpToDate", "{form:?}");
        assert!(report.advisory_ids.is_empty(), "{form:?}: {:?}", report.advisory_ids);
        assert_eq!(report.ppid, machine().ppid().0, "{form:?}");
    }
}

#[test]
fn the_peers_strict_policy_accepts_them_and_reads_the_platform() {
    for form in FORMS {
        let claims = strict(form, |_| {}).unwrap_or_else(|error| panic!("{form:?}: {error}"));
        assert_eq!(claims.tcb.eval_data_number, EVALUATION);
        assert_eq!(claims.platform.pck.fmspc, [0xb0, 0xc0, 0x6f, 0, 0, 0]);
        assert_eq!((claims.platform.pck.pce_svn, claims.platform.pck.sgx_type), (13, 1));
        assert_eq!(claims.platform.current_tcb_level.is_some(), form == Form::V5Td15);
    }
}

#[test]
fn fields_of_the_report_stand_where_the_peer_looks() {
    let issued = issued(Form::V5Td15, |draft| {
        let report = &mut draft.quote.report;
        (report.mrtd, report.mrconfigid) = ([1; 48], [2; 48]);
        (report.mrowner, report.mrownerconfig) = ([3; 48], [4; 48]);
        report.report_data = [5; 64];
        draft.rtmr = Some([[6; 48], [7; 48], [8; 48], [9; 48]]);
    });
    let report = verdict_at(&issued, NOW).expect("accepted").report;
    let read = report.as_td15().expect("TD 1.5");
    let base = &read.base;
    assert_eq!((base.mr_td, base.mr_config_id), ([1; 48], [2; 48]));
    assert_eq!((base.mr_owner, base.mr_owner_config), ([3; 48], [4; 48]));
    assert_eq!((base.rt_mr0, base.rt_mr1, base.rt_mr2, base.rt_mr3), ([6; 48], [7; 48], [8; 48], [9; 48]));
    assert_eq!(base.report_data, [5; 64]);
    assert_eq!((read.mr_service_td, read.tee_tcb_svn2[..3].to_vec()), ([0; 48], vec![9, 1, 3]));
}

#[test]
fn each_status_of_the_platform_is_told() {
    for form in FORMS {
        for status in STATUSES {
            let found = verdict(form, |draft| draft.pki.sgx().set_status(status));
            match (status, found) {
                (TcbStatus::Revoked, Err(error)) => assert!(error.contains("Revoked"), "{error}"),
                (_, found) => {
                    let report = found.unwrap_or_else(|error| panic!("{form:?} {status:?}: {error}"));
                    assert_eq!(report.status, format!("{status:?}"), "{form:?}");
                    let hardening = status == TcbStatus::SWHardeningNeeded;
                    assert_eq!(report.advisory_ids == [HARDENING_ADVISORY], hardening, "{status:?}");
                }
            }
        }
    }
}

#[test]
fn a_platform_below_every_level_has_no_status() {
    let found = verdict(Form::V4, |draft| {
        let sgx = draft.pki.sgx();
        (sgx.component_svns[0], sgx.cpu_svn[0]) = (1, 1);
    });
    assert!(found.is_err_and(|error| error.contains("No matching TCB level")));
    let found = verdict(Form::V4, |draft| draft.pki.sgx().pce_svn = 12);
    assert!(found.is_err_and(|error| error.contains("No matching TCB level")));
}

#[test]
fn an_old_module_or_quoting_enclave_counts() {
    let edits: [fn(&mut Draft, u8); 2] = [
        |draft, svn| draft.quote.report.tee_tcb_svn[0] = svn,
        |draft, svn| draft.quote.qe.isv_svn = svn.into(),
    ];
    for edit in edits {
        let report = verdict(Form::V4, |draft| edit(draft, 5)).expect("accepted");
        assert_eq!(report.status, "OutOfDate");
        assert_eq!(report.advisory_ids, ["INTEL-SA-01036", "INTEL-SA-01099"]);
        let revoked = verdict(Form::V4, |draft| edit(draft, 3));
        assert!(revoked.is_err_and(|error| error.contains("Revoked")));
        assert!(verdict(Form::V4, |draft| edit(draft, 1)).is_err());
    }
    let relaunch = verdict(Form::V5Td15, |draft| draft.quote.report.tee_tcb_svn[0] = 5).expect("accepted");
    assert_eq!(relaunch.status, "TDRelaunchAdvised");
}

#[test]
fn configuration_flags_are_read() {
    let edits: [fn(&mut Configuration); 3] = [
        |flags| flags.dynamic_platform = true,
        |flags| flags.cached_keys = true,
        |flags| flags.smt_enabled = true,
    ];
    for (edit, reason) in edits.into_iter().zip(["Dynamic platform", "Cached keys", "SMT"]) {
        let found = strict(Form::V4, |draft| {
            edit(draft.pki.sgx().configuration.as_mut().expect("flags"));
        });
        assert!(found.is_err_and(|error| error.contains(reason)), "{reason}");
    }
}

#[test]
fn a_signature_by_another_key_is_refused() {
    type Edit = fn(&mut Draft);
    let edits: [(Edit, &str); 8] = [
        (|draft| draft.quote.signer = Some(Key::Stranger), "ISV enclave report signature"),
        (|draft| draft.quote.qe_signer = Key::Stranger, "Signature is invalid for qe_report"),
        (|draft| draft.collateral.tcb_info_signer = Key::Stranger, "Signature is invalid for tcb_info"),
        (|draft| draft.collateral.qe_identity_signer = Key::Stranger, "Signature is invalid for qe_identity"),
        (|draft| draft.pki.pck.signer = Key::Stranger, "certificate chain"),
        (|draft| draft.pki.platform_ca.signer = Key::Stranger, "certificate chain"),
        (|draft| draft.collateral.root_crl.signer = Key::Stranger, "root CA CRL"),
        (|draft| draft.collateral.pck_crl.signer = Key::Stranger, "certificate chain"),
    ];
    for form in FORMS {
        for (edit, reason) in edits {
            let found = verdict(form, edit);
            let error = found.err().unwrap_or_else(|| panic!("{form:?}: {reason} not refused"));
            assert!(error.contains(reason), "{form:?}: expected {reason}, found {error}");
        }
    }
}

/// One bit of each byte that the attestation key signs.
#[test]
fn a_flipped_bit_of_header_or_body_is_refused() {
    let genuine = issued(Form::V5Td15, |_| {});
    let (root, collateral) = (machine().root(), collateral(&genuine));
    let verifier = dcap_qvl::verify::QuoteVerifier::<dcap_qvl::configs::DefaultConfig>::new(root);
    for at in 0..Form::V5Td15.offsets().signed_end {
        let mut quote = genuine.quote.clone();
        quote[at] ^= 1 << (at % 8);
        assert!(verifier.verify(&quote, &collateral, NOW).is_err(), "byte {at}");
    }
}

#[test]
fn revoked_certificates_are_refused() {
    let pck = verdict(Form::V4, |draft| {
        draft.collateral.pck_crl.revoked = vec![vec![7], draft.pki.pck.serial.clone()];
    });
    assert!(pck.is_err_and(|error| error.contains("Revoked")));
    let authority = verdict(Form::V4, |draft| {
        draft.collateral.root_crl.revoked = vec![draft.pki.platform_ca.serial.clone()];
    });
    assert!(authority.is_err_and(|error| error.contains("Revoked")));
    let others = verdict(Form::V4, |draft| draft.collateral.pck_crl.revoked = vec![vec![7], vec![8]]);
    assert!(others.is_ok());
}

#[test]
fn collateral_of_another_time_platform_or_root_is_refused() {
    let genuine = issued(Form::V4, |_| {});
    assert!(verdict_at(&genuine, NOW + 29 * DAY_S).is_ok());
    assert!(verdict_at(&genuine, NOW + 31 * DAY_S).is_err());
    assert!(verdict_at(&genuine, NOW - DAY_S).is_err());
    let other = verdict(Form::V4, |draft| draft.collateral.tcb_info.fmspc[0] ^= 1);
    assert!(other.is_err_and(|error| error.contains("Fmspc mismatch")));
    let stranger = SimulatedTdx::from_seed(&[0x7e; 32]);
    let foreign = stranger.issue(&stranger.draft(Form::V4, NOW));
    assert!(verdict_at(&foreign, NOW).is_err());
    let intel = dcap_qvl::verify::verify(&genuine.quote, &collateral(&genuine), NOW);
    assert!(intel.is_err(), "Intel's own root vouches for nothing here");
}

#[test]
fn the_same_draft_gives_the_same_bytes() {
    let (first, second) = (issued(Form::V5Td15, |_| {}), issued(Form::V5Td15, |_| {}));
    assert_eq!(first.quote, second.quote);
    assert_eq!(first.collateral.to_json(), second.collateral.to_json());
}
